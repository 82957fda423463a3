// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	for _, tt := range []struct {
		args      []string
		out, fail string
	}{
		{[]string{"6"}, "fibo 6: 8 by 25 threads, made and joined 1 time\n", ""},
		{[]string{"--times", "3", "0"}, "fibo 0: 0 by 1 thread, made and joined 3 times\n", ""},
		{[]string{}, "", "expected \"<n>\""},
		{[]string{"x"}, "", "expected a valid 64 bit int"},
		{[]string{"31"}, "", "number 31 is not in 0..30"},
		{[]string{"--times=0", "3"}, "", "0 times"},
	} {
		var out strings.Builder
		err := run(t.Context(), tt.args, &out)
		if out.String() != tt.out || (err == nil) != (tt.fail == "") || err != nil && !strings.Contains(err.Error(), tt.fail) {
			t.Errorf("%q: %q, %v; want %q, %q", tt.args, &out, err, tt.out, tt.fail)
		}
	}
}
