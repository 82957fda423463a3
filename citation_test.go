// SPDX-License-Identifier: Apache-2.0

package mllb

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// person is an author in the Citation File Format: somebody, or an entity with a name.
type person struct {
	Name   string `yaml:"name"`
	Family string `yaml:"family-names"`
	Given  string `yaml:"given-names"`
}

// citation has the keys of the Citation File Format 1.2.0 that CITATION.cff uses. Of these
// cff-version, message, title and authors are required.
type citation struct {
	Version    string   `yaml:"cff-version"`
	Message    string   `yaml:"message"`
	Title      string   `yaml:"title"`
	Abstract   string   `yaml:"abstract"`
	Type       string   `yaml:"type"`
	License    string   `yaml:"license"`
	Authors    []person `yaml:"authors"`
	References []struct {
		Type       string            `yaml:"type"`
		Title      string            `yaml:"title"`
		Authors    []person          `yaml:"authors"`
		Year       int               `yaml:"year"`
		Start      int               `yaml:"start"`
		End        int               `yaml:"end"`
		Collection string            `yaml:"collection-title"`
		Conference map[string]string `yaml:"conference"`
		Publisher  map[string]string `yaml:"publisher"`
		DOI        string            `yaml:"doi"`
		URL        string            `yaml:"url"`
	} `yaml:"references"`
}

var doi = regexp.MustCompile(`^10\.\d{4,9}(\.\d+)?/\S+$`) // as the format has it

func TestCitation(t *testing.T) {
	text, err := os.ReadFile("CITATION.cff")
	if err != nil {
		t.Fatal(err)
	}
	var c citation
	in := yaml.NewDecoder(bytes.NewReader(text))
	in.KnownFields(true)
	if err := in.Decode(&c); err != nil {
		t.Fatal(err)
	}
	if c.Version != "1.2.0" || c.Message == "" || c.Title != "mllb" || c.Type != "software" || c.License != "Apache-2.0" {
		t.Errorf("%+v lacks what the format requires", c)
	}
	if len(c.References) != 1 {
		t.Fatalf("%d references, want the paper", len(c.References))
	}
	paper := c.References[0]
	if !doi.MatchString(paper.DOI) || paper.URL != "https://doi.org/"+paper.DOI || paper.Type != "conference-paper" || paper.Year != 2020 {
		t.Errorf("the paper is cited as %+v", paper)
	}
	for _, authors := range [][]person{c.Authors, paper.Authors} {
		if len(authors) == 0 {
			t.Error("there are no authors")
		}
		for _, a := range authors {
			if (a.Name == "") == (a.Family == "") {
				t.Errorf("%+v is neither a person nor an entity", a)
			}
		}
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{paper.URL, paper.Title} {
		if !strings.Contains(strings.Join(strings.Fields(string(readme)), " "), want) {
			t.Errorf("README.md does not name %s", want)
		}
	}
}
