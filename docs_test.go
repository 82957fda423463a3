// SPDX-License-Identifier: Apache-2.0

package mllb

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// page is a Markdown file of the project.
type page struct {
	name  string
	lines []string
	kind  []byte // of each line: 'p' prose, 't' a row of a table, 'c' in a fenced block, 'f' the fence itself
}

// notOurs is what is made in the tree, and never committed.
var notOurs = []string{".git", ".cache", "bin", "recordings", "reproduction", "results"}

// pages reads every Markdown file.
func pages(t *testing.T) map[string]*page {
	t.Helper()
	all := make(map[string]*page)
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains(notOurs, name) {
			return fs.SkipDir
		}
		if path.Ext(name) != ".md" {
			return nil
		}
		text, err := os.ReadFile(name)
		all[name] = newPage(name, string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("only %d pages were found", len(all))
	}
	return all
}

func newPage(name, text string) *page {
	p := &page{name: name, lines: strings.Split(text, "\n")}
	fenced := false
	for _, line := range p.lines {
		kind := byte('p')
		switch trimmed := strings.TrimSpace(line); {
		case strings.HasPrefix(trimmed, "```"):
			fenced, kind = !fenced, 'f'
		case fenced:
			kind = 'c'
		case strings.HasPrefix(trimmed, "|"):
			kind = 't'
		}
		p.kind = append(p.kind, kind)
	}
	return p
}

var (
	link    = regexp.MustCompile(`!?\[[^]]*\]\(([^)\s]+)\)`)
	code    = regexp.MustCompile("`[^`]*`")
	noSlug  = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
	outside = regexp.MustCompile(`^[a-z]+:`)
)

// anchors are the fragments by which GitHub reaches the headings of a page.
func (p *page) anchors() map[string]bool {
	found := make(map[string]bool)
	for i, line := range p.lines {
		if p.kind[i] != 'p' || !strings.HasPrefix(line, "#") {
			continue
		}
		heading := strings.ToLower(strings.TrimSpace(strings.TrimLeft(line, "#")))
		found[strings.ReplaceAll(noSlug.ReplaceAllString(heading, ""), " ", "-")] = true
	}
	return found
}

// TestLinks follows the links of all pages to files and headings of the project.
func TestLinks(t *testing.T) {
	all := pages(t)
	followed := 0
	for name, p := range all {
		text := ""
		for i, line := range p.lines {
			if p.kind[i] != 'c' {
				text += code.ReplaceAllString(line, "") + "\n"
			}
		}
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if outside.MatchString(m[1]) {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			target := name
			if file != "" {
				target = path.Join(path.Dir(name), file)
			}
			followed++
			if _, err := os.Stat(filepath.FromSlash(target)); err != nil {
				t.Errorf("%s: %s: %v", name, m[1], err)
			} else if anchor != "" && (all[target] == nil || !all[target].anchors()[anchor]) {
				t.Errorf("%s: %s: %s has no such heading", name, m[1], target)
			}
		}
	}
	if followed < 30 {
		t.Errorf("only %d links were followed", followed)
	}
}

// TestProseIsWrapped finds prose wider than 120 columns. What a program writes is not wrapped by hand.
func TestProseIsWrapped(t *testing.T) {
	for name, p := range pages(t) {
		if name == "docs/REPRODUCTION.md" {
			continue
		}
		for i, line := range p.lines {
			if n := len([]rune(line)); p.kind[i] == 'p' && n > 120 {
				t.Errorf("%s:%d: %d columns", name, i+1, n)
			}
		}
	}
}

// TestMessages looks in the sources for each message that docs/OPERATIONS.md explains: the code at
// the beginning of a row of its tables under Troubleshooting, where "..." stands for what varies.
func TestMessages(t *testing.T) {
	_, text, found := strings.Cut(pages(t)["docs/OPERATIONS.md"].text(), "\n## Troubleshooting\n")
	if !found {
		t.Fatal("docs/OPERATIONS.md has no section Troubleshooting")
	}
	text, _, _ = strings.Cut(text, "\n## ")
	var source strings.Builder
	for _, room := range []string{"cmd/mllbd", "topology", "affinity", "features", "scheduler", "scx", "internal", "mlp", "learn/collect"} {
		err := filepath.WalkDir(room, func(name string, d fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
				var file []byte
				file, err = os.ReadFile(name)
				source.Write(file)
			}
			return err
		})
		if err != nil && room != "learn/collect" {
			t.Fatal(err)
		}
	}
	explained := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(text, -1)
	for _, m := range explained {
		parts := strings.Split(m[1], "...")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(strings.TrimSpace(parts[i]))
		}
		if !regexp.MustCompile(strings.Join(parts, ".*")).MatchString(source.String()) {
			t.Errorf("no source has the message %q", m[1])
		}
	}
	if len(explained) < 20 {
		t.Errorf("only %d messages are explained", len(explained))
	}
}

func (p *page) text() string { return strings.Join(p.lines, "\n") }

// TestPicture holds the picture of the live view against the view's golden files: they begin
// their lines with the same words, or with a number. `make picture` draws it again.
func TestPicture(t *testing.T) {
	picture, err := os.ReadFile("docs/view.svg")
	if err != nil {
		t.Fatal(err)
	}
	known := make(map[string]bool)
	for _, name := range []string{"cmd/mllbd/testdata/view.txt", "internal/screen/testdata/2-80x24.txt"} {
		golden, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(golden)) {
			if words := strings.Fields(line); len(words) > 0 {
				known[words[0]] = true
			}
		}
	}
	known["choose"] = true // a key of mllb top
	text := regexp.MustCompile(`</?tspan[^>]*>`).ReplaceAllString(string(picture), "")
	rows := regexp.MustCompile(`<text [^>]*>([^<]*)</text>`).FindAllStringSubmatch(text, -1)
	if len(rows) < 5 || rows[0][1] != "$ make run" {
		t.Fatalf("docs/view.svg has %d rows of text, and the first is not the command", len(rows))
	}
	for _, row := range rows[1:] {
		if first := strings.Fields(row[1])[0]; !known[first] && !strings.Contains("0123456789", first[:1]) {
			t.Errorf("docs/view.svg has a row %q, and the view has none", first)
		}
	}
}
