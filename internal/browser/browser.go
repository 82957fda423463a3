// SPDX-License-Identifier: Apache-2.0

// Package browser looks at pages in headless Chromium, for tests.
package browser

import (
	"bytes"
	"context"
	_ "embed" // what looks at the pages
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

//go:embed look.js
var script string

// Page is a page, or an SVG as a page would show it.
type Page struct {
	Name    string
	Content []byte
	Figures int     // at least
	Least   float64 // height of its smallest text, in pixels
}

// Look fails the test where a page, at 420 and 1200 pixels and in both themes, is wider than
// the window, has text in a figure that is cut, on other text, too small, or without contrast,
// or where the console has a word to say. It skips the test where there is no Chromium, and
// with -short.
func Look(t *testing.T, pages ...Page) {
	t.Helper()
	if testing.Short() {
		t.Skip("a browser takes seconds")
	}
	program := find(t)
	server := httptest.NewServer(handler(pages))
	defer server.Close()
	for _, theme := range []string{"light", "dark"} {
		for _, wrong := range look(t, program, server.URL, theme == "dark") {
			t.Errorf("%s: %s", theme, wrong)
		}
	}
}

func find(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-shell", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("there is no chromium: Debian's package chromium has it")
	return ""
}

func handler(pages []Page) http.Handler {
	type listed struct {
		Path    string  `json:"path"`
		Figures int     `json:"figures"`
		Least   float64 `json:"least"`
	}
	var list []listed
	mux := http.NewServeMux()
	for _, p := range pages {
		list = append(list, listed{p.Name, p.Figures, p.Least})
		content := p.Content
		if strings.HasSuffix(p.Name, ".svg") {
			content = fmt.Appendf(nil, `<!DOCTYPE html><meta name="color-scheme" content="light dark"><style>svg{max-width:100%%;height:auto}</style>%s`, content)
		}
		mux.HandleFunc("GET /"+p.Name, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write(content)
		})
	}
	mux.HandleFunc("GET /pages", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(list) })
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<!DOCTYPE html><meta charset=utf-8><title>look</title><body><script>%s</script>", script)
	})
	return mux
}

var (
	result  = regexp.MustCompile(`(?s)RESULT(\{.*?\})END</pre>`)
	console = regexp.MustCompile(`CONSOLE[^\n]*`)
)

// look returns what is wrong.
func look(t *testing.T, program, url string, dark bool) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	args := []string{"--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars", "--enable-logging=stderr",
		"--user-data-dir=" + t.TempDir(), "--window-size=1300,1000", "--virtual-time-budget=60000", "--dump-dom"}
	if dark {
		args = append(args, "--blink-settings=preferredColorScheme=0")
	}
	cmd := exec.CommandContext(ctx, program, append(args, url+"/")...)
	var dom, said bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &dom, &said, 5*time.Second
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, said.String())
	}
	m := result.FindStringSubmatch(dom.String())
	if m == nil {
		t.Fatalf("%s did not get through the pages:\n%s\n%s", program, dom.String(), said.String())
	}
	var found struct {
		Dark  bool
		Wrong []string
	}
	if err := json.Unmarshal([]byte(html.UnescapeString(m[1])), &found); err != nil {
		t.Fatal(err)
	}
	if found.Dark != dark {
		t.Fatalf("the theme is not the one asked for")
	}
	return append(found.Wrong, console.FindAllString(said.String(), -1)...)
}
