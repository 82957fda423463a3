// SPDX-License-Identifier: Apache-2.0

// Package grafana holds nothing but the test of mllb.json.
package grafana

import (
	"os"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// TestSchema decodes the dashboard by Grafana's own types, of which it may have no other
// fields and has to have those that are required.
func TestSchema(t *testing.T) {
	text, err := os.ReadFile("mllb.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard.Dashboard
	if err := d.UnmarshalJSONStrict(text); err != nil && err.Error() != "" { // a list of errors, which may be empty
		t.Error(err)
	}
	if err := d.Validate(); err != nil {
		t.Error(err)
	}
	if len(d.Panels) < 20 || d.Templating.List[0].Type != "datasource" {
		t.Errorf("%d panels, variables %+v", len(d.Panels), d.Templating.List)
	}
}
