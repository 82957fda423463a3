// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"mllb/features/internal/threads"
)

func TestMain(m *testing.M) { threads.Main(m) }

// skipUnless skips a test that this process may not run, or this kernel
// cannot, by the reason's name. Any other error is a failure.
func skipUnless(tb testing.TB, err error) {
	tb.Helper()
	for _, why := range []error{ErrNoBTF, ErrNoGroupSched, ErrNamespace, unix.EPERM} {
		if errors.Is(err, why) {
			tb.Skip(err)
		}
	}
	if err != nil {
		tb.Fatalf("%+v", err)
	}
}

func openReader(tb testing.TB, opt Options) *Reader {
	tb.Helper()
	r, err := Open(opt)
	skipUnless(tb, err)
	tb.Cleanup(func() {
		if err := r.Close(); err != nil {
			tb.Error(err)
		}
	})
	return r
}
