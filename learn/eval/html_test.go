// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"

	"mllb/learn/dataset"
)

// The page stands alone, has every figure, and what a file says stays text.
func TestHTML(t *testing.T) {
	hostile := dataset.Run{ID: "r", Load: `<script>alert(1)</script>`, Tag: "\x1b[2J", Kernel: `"><img src=x>`}
	r := run(t, Config{Importance: true, Matrix: quick(), Mistakes: 2, Name: "<b>"}, samples[0], samples[1], samples[2], write(t, hostile, records(200, 1)))
	var page, text bytes.Buffer
	if err := r.HTML(&page); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(page.String(), "<figure><svg"); n != 6 {
		t.Errorf("%d figures", n)
	}
	for _, bad := range []string{"<script", "<img", "<b>", "\x1b", "@import", "NaN", "ZgotmplZ"} {
		if strings.Contains(page.String(), bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	if refs := regexp.MustCompile(`(?:src|href)\s*=\s*"[^"]*"|url\([^)]*\)`).FindAllString(page.String(), -1); len(refs) > 0 {
		t.Errorf("the page refers to %q", refs)
	}
	for _, want := range []string{"By load", "By domain", "By idle type", "By kernel", "Load matrix", "Permutation importance", "Fractional bits", "The most costly mistakes", "cfs-4.15"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if err := r.Draw(&text, true); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsRune(text.String(), '\x1b') {
		t.Error("an escape sequence reaches the terminal")
	}
}

// Each figure is one whole SVG element.
func TestPictures(t *testing.T) {
	pictures, err := run(t, Config{}, samples...).pictures()
	if err != nil {
		t.Fatal(err)
	}
	if len(pictures) != 5 {
		t.Errorf("%d figures without permutations", len(pictures))
	}
	for _, p := range pictures {
		d := xml.NewDecoder(strings.NewReader(string(p.SVG)))
		depth := 0
		for {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", p.Title, err)
			}
			switch e := token.(type) {
			case xml.StartElement:
				if depth == 0 && e.Name.Local != "svg" {
					t.Errorf("%s: %s", p.Title, e.Name.Local)
				}
				depth++
			case xml.EndElement:
				depth--
			}
		}
	}
}
