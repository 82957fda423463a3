// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree is a PARSEC tree whose programs are scripts.
type tree struct {
	t   *testing.T
	dir string
}

func newTree(t *testing.T) tree {
	tr := tree{t, t.TempDir()}
	tr.write("pkgs/README", "", 0o644)
	return tr
}

func (tr tree) write(path, text string, mode os.FileMode) {
	tr.t.Helper()
	path = filepath.Join(tr.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tr.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		tr.t.Fatal(err)
	}
}

// archive makes a tar of regular files: path, text, path, text.
func archive(t *testing.T, files ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		h := &tar.Header{Name: files[i], Size: int64(len(files[i+1])), Mode: 0o644, Typeflag: tar.TypeReg}
		if strings.HasSuffix(h.Name, "@") {
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, files[i+1], 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte(files[i+1])); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// blackscholes writes as many prices as its input has options, less $LOSE.
const blackscholes = `#!/bin/sh
echo "threads $1" >&2
n=$(($(head -n 1 "$2") - ${LOSE:-0}))
{ head -n 1 "$2"; i=0; while [ $i -lt $n ]; do echo "${PRICE:-1.5}"; i=$((i+1)); done; } > "$3"
`

func blackscholesTree(t *testing.T) tree {
	tr := newTree(t)
	tr.write("pkgs/apps/blackscholes/parsec/test.runconf", "run_exec=\"bin/blackscholes\"\nrun_args=\"${NTHREADS} in.txt prices.txt\"\n", 0o644)
	tr.write("pkgs/apps/blackscholes/parsec/native.runconf", "run_exec=\"bin/blackscholes\"\nrun_args=\"${NTHREADS} big.txt prices.txt\"\n", 0o644)
	tr.write("pkgs/apps/blackscholes/inputs/input_test.tar", archive(t, "in.txt", "3\na\nb\nc\n"), 0o644)
	tr.write("pkgs/apps/blackscholes/inst/amd64-linux.gcc-pthreads/bin/blackscholes", blackscholes, 0o755)
	tr.write("pkgs/apps/blackscholes/inst/amd64-linux.gcc-serial/bin/blackscholes", "#!/bin/sh\nexit 9\n", 0o755)
	return tr
}

// TestParsecRuns takes a program from its tree to a result that is checked.
func TestParsecRuns(t *testing.T) {
	tr := blackscholesTree(t)
	o := Options{Parsec: tr.dir, Input: "test", Scratch: t.TempDir(), Threads: 7}
	c, err := Resolve("blackscholes", o)
	if err != nil {
		t.Fatal(err)
	}
	out, err := stdout(t, c)
	if err != nil || string(out) != "threads 7\n" || c.Threads != 7 {
		t.Fatalf("%q, %v", out, err)
	}
	if err := c.Check(out); err != nil {
		t.Error(err)
	}
	if err := c.Clean(); err != nil {
		t.Error(err)
	}
	if err := c.Check(out); err == nil {
		t.Error("the last run's result is as good as this one's")
	}
	for _, tt := range []struct{ set, value, want string }{
		{"LOSE", "1", "prices.txt has 2 prices"},
		{"LOSE", "-1", "prices.txt has 4 prices"},
		{"PRICE", "2", "its result differs from the first run's"},
		{"LOSE", "0", ""},
	} {
		// Another process asks for it again, and compares with the same first run.
		if c, err = Resolve("blackscholes", o); err != nil {
			t.Fatal(err)
		}
		c.Env = append(c.Env, tt.set+"="+tt.value)
		if out, err = stdout(t, c); err != nil {
			t.Fatal(err)
		}
		if err := c.Check(out); tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s=%s: %v, want %q", tt.set, tt.value, err, tt.want)
		}
	}
}

func TestParsecMissing(t *testing.T) {
	for _, tt := range []struct {
		name, input string
		change      func(tree)
		missing     bool
		want        string
	}{
		{"blackscholes", "", func(tree) {}, true, "input native of blackscholes is missing: unpack PARSEC's archive of inputs over its tree; there are here: test"},
		{"blackscholes", "test", func(tr tree) { os.RemoveAll(filepath.Join(tr.dir, "pkgs/apps/blackscholes/inputs")) }, true, "there are here: none"},
		{"blackscholes", "huge", func(tree) {}, false, `input "huge" is not one of native, test`},
		{"blackscholes", "../parsec/test", func(tree) {}, false, `is not one of native, test`},
		{"blackscholes", "test", func(tr tree) {
			os.RemoveAll(filepath.Join(tr.dir, "pkgs/apps/blackscholes/inst/amd64-linux.gcc-pthreads"))
		}, true, "bin/parsecmgmt -a build -p blackscholes -c gcc-pthreads"},
		{"blackscholes", "test", func(tr tree) { os.RemoveAll(filepath.Join(tr.dir, "pkgs")) }, false, "is not a PARSEC tree"},
		{"blackscholes", "test", func(tr tree) {
			tr.write("pkgs/apps/blackscholes/parsec/test.runconf", "run_exec=$X", 0o644)
		}, false, "test.runconf: line 1: $X is not set"},
		{"blackscholes", "test", func(tr tree) {
			tr.write("pkgs/apps/blackscholes/inputs/input_test.tar", "not a tar", 0o644)
		}, false, "input_test.tar: "},
		{"blackscholes", "test", func(tr tree) {
			tr.write("pkgs/apps/blackscholes/inputs/input_test.tar", archive(t, "../../in.txt", "3"), 0o644)
		}, false, "input_test.tar: "},
		{"blackscholes", "test", func(tr tree) {
			tr.write("pkgs/apps/blackscholes/inputs/input_test.tar", archive(t, "in@", "/etc/passwd"), 0o644)
		}, false, `in@ is of type '2'`},
		{"swaptions", "test", func(tr tree) {
			tr.write("pkgs/apps/swaptions/parsec/test.runconf", "run_exec=bin/swaptions\nrun_args=\"-ns 1 -sm 5 -nt ${NTHREADS}\"", 0o644)
		}, true, "work for 7 threads is missing: input test has only 1 swaptions"},
	} {
		tr := blackscholesTree(t)
		tt.change(tr)
		scratch := t.TempDir()
		c, err := Resolve(tt.name, Options{Parsec: tr.dir, Input: tt.input, Scratch: scratch, Threads: 7})
		if c != nil || err == nil || !strings.Contains(err.Error(), tt.want) || errors.As(err, new(*Missing)) != tt.missing {
			t.Errorf("%s: %v, want %q (missing: %v)", tt.name, err, tt.want, tt.missing)
		}
		if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
			t.Errorf("%s: it left %v, %v", tt.want, left, err)
		}
	}
}

// TestBuilds has the paper's build before others, and none without threads.
func TestBuilds(t *testing.T) {
	p := programs[0]
	for _, tt := range []struct{ builds, want string }{
		{"a.gcc a.gcc-hooks a.gcc-pthreads a.gcc-serial", "a.gcc-pthreads"},
		{"a.gcc a.gcc-hooks", "a.gcc"},
		{"a.gcc-hooks a.gcc-serial", "a.gcc-hooks"},
		{"a.gcc-serial", ""},
	} {
		tr := newTree(t)
		for b := range strings.FieldsSeq(tt.builds) {
			tr.write("pkgs/apps/x/inst/"+b+"/bin/x", "", 0o755)
		}
		got, err := p.binary(filepath.Join(tr.dir, "pkgs/apps/x"), "bin/x")
		if tt.want == "" {
			if !errors.As(err, new(*Missing)) {
				t.Errorf("%s: %q, %v", tt.builds, got, err)
			}
			continue
		}
		if want := filepath.Join(tr.dir, "pkgs/apps/x/inst", tt.want, "bin/x"); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", tt.builds, got, err, want)
		}
	}
}
