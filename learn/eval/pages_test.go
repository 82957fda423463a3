// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"bytes"
	"strings"
	"testing"

	"mllb/internal/browser"
	"mllb/learn/dataset"
)

// The page is as readable on a phone as on a desk, in both themes, also where a name is long.
func TestPages(t *testing.T) {
	long := dataset.Run{ID: "r", Load: "a-load-with-a-long-name", Tag: strings.Repeat("tag", 20), Kernel: "6.12.117-1~deb12u1"}
	r := run(t, Config{Importance: true, Matrix: quick(), Mistakes: 2, Name: strings.Repeat("directory/", 12) + "model.json"},
		append([]string{write(t, long, records(2000, 1))}, samples...)...)
	pictures, err := r.pictures()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pictures {
		browser.Inside(t, p.Title, []byte(p.SVG))
	}
	var page bytes.Buffer
	if err := r.HTML(&page); err != nil {
		t.Fatal(err)
	}
	browser.Look(t, browser.Page{Name: "eval.html", Content: page.Bytes(), Figures: len(pictures), Least: 9})
}
