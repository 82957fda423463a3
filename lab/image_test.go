// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestRawStrings wants the bytes of a command line to reach the guest.
func TestRawStrings(t *testing.T) {
	want := guestConfig{Args: rawStrings{"cat", "caf\xe9", "", "\xff\xfe", "é"}, Env: rawStrings{"A=\xe9"}}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got guestConfig
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-sent +received):\n%s", diff)
	}
}
