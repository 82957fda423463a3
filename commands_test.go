// SPDX-License-Identifier: Apache-2.0

package mllb

import (
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mvdan.cc/sh/v3/syntax"
)

// shellBlock is a fenced block of shell commands. One that .ci/fresh does not run says why, after
// "not-run:" in the line of its fence.
type shellBlock struct {
	page   string
	line   int
	text   string
	notRun string
}

func shellBlocks(p *page) (blocks []shellBlock) {
	for i := 0; i < len(p.lines); i++ {
		if p.kind[i] != 'f' {
			continue
		}
		b := shellBlock{page: p.name, line: i + 1}
		language, rest, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(p.lines[i]), "```"), " ")
		for i++; p.kind[i] == 'c'; i++ {
			b.text += p.lines[i] + "\n"
		}
		if language == "sh" {
			_, b.notRun, _ = strings.Cut(rest, "not-run:")
			blocks = append(blocks, b)
		}
	}
	return blocks
}

// calls are the simple commands of a piece of shell, as words.
func calls(text string) (list [][]string, err error) {
	file, err := syntax.NewParser().Parse(strings.NewReader(text), "")
	if err != nil {
		return nil, err
	}
	syntax.Walk(file, func(node syntax.Node) bool {
		if call, ok := node.(*syntax.CallExpr); ok {
			var words []string
			for _, arg := range call.Args {
				words = append(words, word(arg))
			}
			list = append(list, words)
		}
		return true
	})
	return list, nil
}

// word is an argument without its quotes; an expansion is an "x".
func word(w *syntax.Word) string {
	var b strings.Builder
	for _, part := range w.Parts {
		switch part := part.(type) {
		case *syntax.Lit:
			b.WriteString(part.Value)
		case *syntax.SglQuoted:
			b.WriteString(part.Value)
		default:
			b.WriteByte('x')
		}
	}
	return b.String()
}

// ours splits a command at sudo, env and "--" into commands of this project: "sudo mllbd run -- mllb
// workload spin" is two.
func ours(words []string) (list [][]string) {
	for len(words) > 0 {
		end := slices.Index(words, "--")
		rest := []string(nil)
		if end >= 0 {
			words, rest = words[:end], words[end+1:]
		}
		for len(words) > 0 && words[0] == "sudo" {
			words = words[1:]
		}
		if len(words) > 0 {
			words[0] = strings.TrimPrefix(words[0], "./bin/")
			if words[0] == "mllb" || words[0] == "mllbd" || words[0] == "fibo" || words[0] == "make" {
				list = append(list, words)
			}
		}
		words = rest
	}
	return list
}

var span = regexp.MustCompile("`((?:sudo )?(?:mllbd?|fibo|make) [^`]+)`")

// TestCommandsParse gives the commands of all pages, in blocks of shell and in the text, to the
// programs with --help: each subcommand and flag is known. Targets of make are in the Makefile.
func TestCommandsParse(t *testing.T) {
	bin := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", bin, "./cmd/mllb", "./cmd/mllbd", "./cmd/fibo").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	seen := make(map[string]bool)
	for name, p := range pages(t) {
		if name == "CHANGELOG.md" { // it tells of commands that are gone
			continue
		}
		pieces := make(map[string]int) // by text, with the line
		for _, b := range shellBlocks(p) {
			pieces[b.text] = b.line
		}
		for i, line := range p.lines {
			if p.kind[i] == 'p' || p.kind[i] == 't' {
				for _, m := range span.FindAllStringSubmatch(line, -1) {
					pieces[strings.ReplaceAll(m[1], "...", "")] = i + 1
				}
			}
		}
		for text, line := range pieces {
			list, err := calls(text)
			if err != nil {
				t.Errorf("%s:%d: %v", name, line, err)
			}
			for _, words := range list {
				for _, command := range ours(words) {
					if key := strings.Join(command, " "); !seen[key] {
						seen[key] = true
						if problem := unknown(bin, command); problem != "" {
							t.Errorf("%s:%d: %s: %s", name, line, key, problem)
						}
					}
				}
			}
		}
	}
	if len(seen) < 40 {
		t.Errorf("only %d commands were found", len(seen))
	}
}

// unknown says what is wrong with a command, or nothing.
func unknown(bin string, command []string) string {
	var cmd *exec.Cmd
	if command[0] == "make" {
		cmd = exec.Command("make", append([]string{"-n", "-s"}, command[1:]...)...)
	} else {
		cmd = exec.Command(path.Join(bin, command[0]), append(slices.Clone(command[1:]), "--help")...)
	}
	out, err := cmd.CombinedOutput()
	if err == nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

// TestReadmeBlocks holds that every block of shell in README.md is run by .ci/fresh, but for those
// that say why not, and names these.
func TestReadmeBlocks(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	p := newPage("README.md", string(text))
	run := 0
	for _, b := range shellBlocks(p) {
		list, err := calls(b.text)
		if err != nil {
			t.Fatalf("README.md:%d: %v", b.line, err)
		}
		if b.notRun == "" {
			run += len(list)
			continue
		}
		for _, words := range list {
			t.Logf("README.md:%d: not run:%s: %s", b.line, b.notRun, strings.Join(words, " "))
		}
	}
	if run < 8 {
		t.Errorf("only %d commands of README.md are run", run)
	}
	for i, line := range p.lines {
		if p.kind[i] == 'f' && strings.TrimSpace(line) != "```" && !strings.HasPrefix(line, "```sh") {
			t.Errorf("README.md:%d: %s is no block of shell: .ci/fresh does not run it", i+1, line)
		}
	}
}
