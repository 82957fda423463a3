// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"encoding/json"
	"math"
	"testing"
)

func TestFigureJSON(t *testing.T) {
	b, err := json.Marshal([]Figure{0.25, undefined})
	if err != nil {
		t.Fatal(err)
	}
	got := make([]Figure, 2)
	if err := json.Unmarshal(b, &got); err != nil || got[0] != 0.25 || !math.IsNaN(float64(got[1])) {
		t.Errorf("%s became %v, %v", b, got, err)
	}
	if err := json.Unmarshal([]byte(`"x"`), &got[0]); err == nil {
		t.Error("a string was taken for a figure")
	}
}
