// SPDX-License-Identifier: Apache-2.0

package cc

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Compilers that are scripts: the one that works makes a program of its own -o.
const (
	works  = `while [ "$1" != -o ]; do shift; done; printf '#!/bin/sh\n' >"$2"; chmod +x "$2"`
	broken = `while [ "$1" != -o ]; do shift; done; printf '#!/bin/sh\necho no shadow memory; exit 1\n' >"$2"; chmod +x "$2"`
	cannot = `echo cannot find libclang_rt.asan.a >&2; echo more >&2; exit 1`
)

func TestFind(t *testing.T) {
	for _, tt := range []struct {
		name      string
		compilers map[string]string
		want      string   // the name of the compiler, or
		says      []string // what its error says
	}{
		{"the first", map[string]string{"clang-19": works, "gcc": works}, "clang-19", nil},
		{"the first cannot link", map[string]string{"clang-19": cannot, "gcc": works}, "gcc", nil},
		{"its programs do not run", map[string]string{"clang-19": broken, "cc": works}, "cc", nil},
		{"no other", map[string]string{"clang-19": cannot, "gcc": broken}, "",
			[]string{"-fsanitize=address", "clang-19: exit status 1: cannot find libclang_rt.asan.a\n", "does not run: exit status 1: no shadow memory", "cc is missing"}},
		{"none", nil, "", []string{"clang-19 is missing", "gcc is missing", "cc is missing"}},
		{"needs the flags", map[string]string{"gcc": `[ "$1" = -fsanitize=address ] || exit 1; ` + works}, "gcc", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bin := t.TempDir()
			for name, script := range tt.compilers {
				if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\nPATH=/bin:/usr/bin\n"+script+"\n"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv("PATH", bin)
			got, err := find(t.TempDir(), []string{"-fsanitize=address"})
			if tt.want != "" && (err != nil || got != filepath.Join(bin, tt.want)) {
				t.Errorf("%q, %v, want %s", got, err, tt.want)
			}
			for _, s := range tt.says {
				if err == nil || !strings.Contains(err.Error(), s) {
					t.Errorf("%v does not say %q", err, s)
				}
			}
		})
	}
}

// TestFindReal has what it found compile once more.
func TestFindReal(t *testing.T) {
	path := Find(t)
	if again := Find(t); again != path {
		t.Errorf("%s, then %s", path, again)
	}
}
