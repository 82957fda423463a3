// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mllb/internal/procfile"
)

// TestSettle leaves garbage, and has touched a good part of the test's own program.
func TestSettle(t *testing.T) {
	const garbage = 64 << 20
	_ = bytes.Repeat([]byte{1}, garbage)
	anon, file := resident(t, "RssAnon"), resident(t, "RssFile")
	if err := settle(); err != nil {
		t.Fatal(err)
	}
	if now := resident(t, "RssAnon"); now > anon-garbage/2 {
		t.Errorf("%d bytes of memory, %d before", now, anon)
	}
	if file < 2<<20 {
		t.Skipf("%d bytes of files: the program is in an initramfs, whose pages count as shared memory", file)
	}
	if now := resident(t, "RssFile"); now > file-1<<20 {
		t.Errorf("%d bytes of files, %d before", now, file)
	}
}

// resident reads a field of /proc/self/status that is in kB.
func resident(t *testing.T, field string) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	text, err := procfile.StatusField(b, field)
	if err != nil {
		t.Fatal(err)
	}
	kB, err := procfile.Int(bytes.Fields(text)[0], 64)
	if err != nil {
		t.Fatal(err)
	}
	return int(kB) << 10
}

func TestFilePages(t *testing.T) {
	const file = "/opt/my programs/mllbd"
	entry := func(head, anonymous string) string {
		return head + "\nSize:   12 kB\nAnonymous:   " + anonymous + " kB\nVmFlags: rd mr mw me \n"
	}
	for _, tt := range []struct {
		name, smaps string
		want        []mapping
		fails       bool
	}{
		{"text and constants", entry("00400000-00a3b000 r-xp 00000000 fe:00 99 "+file, "0") +
			entry("00a3b000-0111e000 r--p 0063b000 fe:00 99   "+file, "0"),
			[]mapping{{0x400000, 0xa3b000}, {0xa3b000, 0x111e000}}, false},
		{"a breakpoint", entry("00400000-00a3b000 r-xp 00000000 fe:00 99 "+file, "4"), nil, false},
		{"variables", entry("0111e000-0118a000 rw-p 00d1e000 fe:00 99 "+file, "0"), nil, false},
		{"another file", entry("00400000-00a3b000 r-xp 00000000 fe:00 99 /opt/other"+file, "0") +
			entry("00400000-00a3b000 r-xp 00000000 fe:00 99 "+file+" (deleted)", "0"), nil, false},
		{"no file", entry("c000000000-c000400000 rw-p 00000000 00:00 0", "0") +
			entry("7fff0000-7fff1000 r-xp 00000000 00:00 0     [vdso]", "0"), nil, false},
		{"nothing", "", nil, false},
		{"no addresses", entry("oops r-xp 00000000 fe:00 99 "+file, "0"), nil, true},
		{"backwards", entry("00a3b000-00400000 r-xp 00000000 fe:00 99 "+file, "0"), nil, true},
	} {
		got, err := filePages([]byte(tt.smaps), file)
		if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(mapping{})); diff != "" || (err != nil) != tt.fails {
			t.Errorf("%s: %v %s", tt.name, err, diff)
		}
	}
}
