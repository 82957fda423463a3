// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"testing"
	"time"
)

// inGuest: in an emulated guest of the lab all CPUs take turns on one of the
// host, so that every busy process slows mllbd down. Tests then use gentler
// loads, fewer rounds and more patience; what they ask of mllbd stays the same.
var inGuest = os.Getenv("MLLB_LAB") == "1"

// needGuest skips a test that changes the machine as a whole.
func needGuest(t *testing.T) {
	t.Helper()
	if !inGuest {
		t.Skip("changes the machine as a whole, so it needs a guest: mllb lab test cmd/mllbd")
	}
}

// patience is how long what must come may take.
func patience() time.Duration {
	if inGuest {
		return 3 * time.Minute
	}
	return time.Minute
}

// glance is the time between two looks: a test that looks is a load itself.
func glance() time.Duration {
	if inGuest {
		return 100 * time.Millisecond
	}
	return 20 * time.Millisecond
}

// eventually asks until the answer is yes, or fails with what was last said.
func eventually(t *testing.T, what string, ok func() (bool, any)) {
	t.Helper()
	var last any
	for end := time.Now().Add(patience()); time.Now().Before(end); time.Sleep(glance()) {
		var yes bool
		if yes, last = ok(); yes {
			return
		}
	}
	t.Fatalf("%s: not within %v; last: %v", what, patience(), last)
}
