// SPDX-License-Identifier: Apache-2.0

package namedfile

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

const content = "new\n"

// both runs a test with files that have no name while they are written, and
// without.
func both(t *testing.T, test func(t *testing.T)) {
	for _, on := range []bool{true, false} {
		t.Run(map[bool]string{true: "anonymous", false: "named"}[on], func(t *testing.T) {
			defer func(was bool) { anonymous = was }(anonymous)
			anonymous = on
			test(t)
		})
	}
}

// chdir gives a test an empty directory, with a short path for sockets.
func chdir(t *testing.T) { t.Chdir(t.TempDir()) }

func must(t rapid.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, name, text string, mode fs.FileMode) {
	t.Helper()
	must(t, os.WriteFile(name, []byte(text), 0o600))
	must(t, os.Chmod(name, mode))
}

func read(t rapid.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	must(t, err)
	return string(b)
}

func names(t rapid.TB, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func asRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("not root")
	}
}

func mknod(t *testing.T, name string, mode uint32, major, minor uint32) {
	t.Helper()
	asRoot(t)
	if err := unix.Mknod(name, mode, int(unix.Mkdev(major, minor))); err != nil {
		t.Skip("mknod:", err)
	}
}

// What is written in the end, and where.
func TestWrite(t *testing.T) {
	long := strings.Repeat("n", unix.NAME_MAX)
	for _, test := range []struct {
		name   string
		before func(t *testing.T)
		path   string
		file   string // that has the content
		mode   fs.FileMode
		left   string // in the directory
	}{
		{"none", func(*testing.T) {}, "out", "out", 0, "out"},
		{"longest name", func(*testing.T) {}, long, long, 0, long},
		{"old", func(t *testing.T) { put(t, "out", "old", 0o600) }, "out", "out", 0o600, "out"},
		{"old, shared", func(t *testing.T) { put(t, "out", "old", 0o666) }, "./out", "out", 0o666, "out"},
		{"set-ID", func(t *testing.T) { put(t, "out", "old", 0o755|fs.ModeSetuid) }, "out", "out", 0o755, "out"},
		{"link", func(t *testing.T) { put(t, "to", "old", 0o640); must(t, os.Symlink("to", "out")) }, "out", "to", 0o640, "out to"},
		{"links, relative to where they are", func(t *testing.T) {
			must(t, os.MkdirAll("d/e", 0o755))
			must(t, os.Symlink("d/e/1", "out"))
			must(t, os.Symlink("../2", "d/e/1"))
			must(t, os.Symlink("to", "d/2"))
		}, "out", "d/to", 0, "d out"},
		{"link through a link to a directory", func(t *testing.T) {
			must(t, os.MkdirAll("d/e", 0o755))
			must(t, os.Symlink("d/e", "l"))
			must(t, os.Symlink("l/../to", "out")) // d/to, not to
		}, "out", "d/to", 0, "d l out"},
		{"dangling link", func(t *testing.T) { must(t, os.Symlink("to", "out")) }, "out", "to", 0, "out to"},
		{"planted FILE.tmp", func(t *testing.T) { put(t, "to", "old", 0o644); must(t, os.Symlink("to", "out.tmp")) }, "out", "out", 0, "out out.tmp to"},
	} {
		t.Run(test.name, func(t *testing.T) {
			both(t, func(t *testing.T) {
				chdir(t)
				test.before(t)
				must(t, Check(test.path))
				must(t, Write(t.Context(), test.path, []byte(content)))
				if got := read(t, test.file); got != content {
					t.Errorf("%s has %q", test.file, got)
				}
				info, err := os.Lstat(test.file)
				must(t, err)
				if test.mode != 0 && info.Mode() != test.mode {
					t.Errorf("mode %v, want %v", info.Mode(), test.mode)
				}
				if got := names(t, "."); got != test.left {
					t.Errorf("left: %q, want %q", got, test.left)
				}
			})
		})
	}
}

// What is refused, by Check as well, and stays as it is.
func TestRefused(t *testing.T) {
	nothing := func(*testing.T) {}
	for _, test := range []struct {
		name   string
		before func(t *testing.T)
		path   string
		want   error
	}{
		{"no name", nothing, "", nil},
		{"directory", func(t *testing.T) { must(t, os.Mkdir("out", 0o755)) }, "out", unix.EISDIR},
		{"directory by a link", func(t *testing.T) { must(t, os.Symlink(".", "out")) }, "out", unix.EISDIR},
		{"name of a directory", nothing, "out/", unix.EISDIR},
		{"dots", nothing, "..", unix.EISDIR},
		{"no directory", nothing, "no/out", unix.ENOENT},
		{"file as a directory", func(t *testing.T) { put(t, "f", "old", 0o644) }, "f/out", unix.ENOTDIR},
		{"name too long", nothing, strings.Repeat("n", unix.NAME_MAX+1), unix.ENAMETOOLONG},
		{"link to itself", func(t *testing.T) { must(t, os.Symlink("out", "out")) }, "out", unix.ELOOP},
		{"block device", func(t *testing.T) { mknod(t, "out", unix.S_IFBLK|0o666, 7, 200) }, "out", errBlock},
		{"descriptor that is closed", nothing, "/dev/fd/1000000", unix.ENOENT},
		{"another process's descriptor", nothing, "/proc/1/fd/0", nil},
		{"program", nothing, "/proc/self/exe", errProc},
	} {
		t.Run(test.name, func(t *testing.T) {
			both(t, func(t *testing.T) {
				chdir(t)
				test.before(t)
				before := names(t, ".")
				err := Write(t.Context(), test.path, []byte(content))
				if err == nil || test.want != nil && !errors.Is(err, test.want) {
					t.Errorf("Write: %v, want %v", err, test.want)
				}
				var named *fs.PathError
				if !errors.As(err, &named) || named.Path != test.path {
					t.Errorf("%v does not name %q", err, test.path)
				}
				if err := Check(test.path); test.path != "" && (err == nil || test.want != nil && !errors.Is(err, test.want)) {
					t.Errorf("Check: %v, want %v", err, test.want)
				}
				if got := names(t, "."); got != before {
					t.Errorf("left: %q, want %q", got, before)
				}
			})
		})
	}
}

// Other hard links keep what they had.
func TestHardLink(t *testing.T) {
	chdir(t)
	put(t, "other", "old", 0o644)
	must(t, os.Link("other", "out"))
	must(t, Write(t.Context(), "out", []byte(content)))
	if got := read(t, "other"); got != "old" {
		t.Errorf("the other link has %q", got)
	}
}

// What must not exist yet is not overwritten, however late it comes.
func TestCreateNew(t *testing.T) {
	both(t, func(t *testing.T) {
		chdir(t)
		o, err := CreateNew(t.Context(), "out", false)
		must(t, err)
		put(t, "out", "old", 0o644)
		if err := o.Commit(); !errors.Is(err, fs.ErrExist) {
			t.Errorf("commit over a new file: %v", err)
		}
		if _, err := CreateNew(t.Context(), "out", false); !errors.Is(err, fs.ErrExist) {
			t.Errorf("create over a file: %v", err)
		}
		if got := read(t, "out"); got != "old" {
			t.Errorf("out has %q", got)
		}
		o, err = CreateNew(t.Context(), "fresh", false)
		must(t, err)
		must(t, o.Commit())
		if got := names(t, "."); got != "fresh out" {
			t.Errorf("left: %q", got)
		}
		// What is empty may be what mktemp(1) made.
		if err := CheckNew("fresh", false); err != nil {
			t.Errorf("check an empty file: %v", err)
		}
		must(t, WriteNew(t.Context(), "fresh", false, write))
		if err := WriteNew(t.Context(), "fresh", false, write); !errors.Is(err, fs.ErrExist) {
			t.Errorf("write over a file: %v", err)
		}
		if err := CheckNew("out", false); !errors.Is(err, fs.ErrExist) {
			t.Errorf("check over a file: %v", err)
		}
		must(t, CheckNew("out", true))
		must(t, WriteNew(t.Context(), "out", true, write))
		if got := read(t, "out"); got != content {
			t.Errorf("out has %q", got)
		}
	})
}

func write(w io.Writer) error {
	_, err := io.WriteString(w, content)
	return err
}

// A device that came while the output was made is not replaced.
func TestChanged(t *testing.T) {
	both(t, func(t *testing.T) {
		chdir(t)
		put(t, "out", "old", 0o644)
		o, err := Create(t.Context(), "out")
		must(t, err)
		must(t, os.Remove("out"))
		must(t, unix.Mkfifo("out", 0o600))
		if err := o.RemoveOld(); !errors.Is(err, errChanged) {
			t.Errorf("remove: %v", err)
		}
		if err := o.Commit(); !errors.Is(err, errChanged) {
			t.Errorf("commit: %v", err)
		}
		if got := names(t, "."); got != "out" {
			t.Errorf("left: %q", got)
		}
	})
}

// The old file is gone at once, its mode is not.
func TestRemoveOld(t *testing.T) {
	both(t, func(t *testing.T) {
		chdir(t)
		put(t, "to", "old", 0o604)
		must(t, os.Symlink("to", "out"))
		o, err := Create(t.Context(), "out")
		must(t, err)
		must(t, o.RemoveOld())
		if _, err := os.Stat("to"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the old file: %v", err)
		}
		_, err = io.WriteString(o, content)
		must(t, errors.Join(err, o.Commit()))
		info, err := os.Stat("to")
		must(t, err)
		if info.Mode() != 0o604 || read(t, "out") != content {
			t.Errorf("mode %v, content %q", info.Mode(), read(t, "out"))
		}
	})
}

// Inputs are not overwritten by outputs, whatever their names.
func TestInput(t *testing.T) {
	chdir(t)
	put(t, "in", "old", 0o644)
	must(t, os.Symlink("in", "link"))
	must(t, os.Link("in", "hard"))
	for _, out := range []string{"in", "./in", "link", "hard"} {
		if err := Check(out, "none", "in"); !errors.Is(err, errTwice) {
			t.Errorf("%s: %v", out, err)
		}
	}
	if err := Distinct("new", "new"); !errors.Is(err, errTwice) {
		t.Errorf("two new files: %v", err)
	}
	must(t, Check("other", "in", ""))
	must(t, Check("/dev/null", "/dev/null"))
}

// Logs are seen while they grow, appended to or begun anew.
func TestLog(t *testing.T) {
	chdir(t)
	put(t, "out", "1", 0o600)
	must(t, os.Symlink("out", "link"))
	for _, flag := range []int{os.O_APPEND, os.O_TRUNC} {
		w, err := Log("link", flag)
		must(t, err)
		_, err = io.WriteString(w, "2")
		must(t, err)
		if got, want := read(t, "out"), map[int]string{os.O_APPEND: "12", os.O_TRUNC: "2"}[flag]; got != want {
			t.Errorf("out has %q, want %q", got, want)
		}
		must(t, w.Close())
	}
	if _, err := Log(".", os.O_APPEND); !errors.Is(err, unix.EISDIR) {
		t.Errorf("directory: %v", err)
	}
	if info, err := os.Stat("out"); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// Inputs are regular files, and a FIFO blocks nobody.
func TestOpen(t *testing.T) {
	chdir(t)
	put(t, "file", "text", 0o644)
	must(t, unix.Mkfifo("fifo", 0o600))
	l, err := net.Listen("unix", "socket")
	must(t, err)
	defer l.Close()
	if b, err := ReadFile("file"); err != nil || string(b) != "text" {
		t.Errorf("file: %q, %v", b, err)
	}
	for _, name := range []string{"fifo", "socket", ".", "/dev/null"} {
		for _, flag := range []int{os.O_RDONLY, os.O_WRONLY, os.O_RDWR | os.O_CREATE} {
			if f, err := OpenRegular(name, flag); err == nil {
				f.Close()
				t.Errorf("%s: opened (%x)", name, flag)
			} else if flag == os.O_RDONLY && !errors.Is(err, errRegular) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// After a write that failed, or was given up, everything is as before; after one
// that did not, all of it is there.
func TestWholeOrNothing(t *testing.T) {
	both(t, func(t *testing.T) {
		dir := t.TempDir()
		rapid.Check(t, func(rt *rapid.T) {
			must(rt, os.RemoveAll(dir))
			must(rt, os.Mkdir(dir, 0o755))
			path := filepath.Join(dir, "out")
			old := rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(rt, "old")
			mode := fs.FileMode(rapid.IntRange(0o600, 0o777).Draw(rt, "mode"))
			exists := rapid.Bool().Draw(rt, "exists")
			if exists {
				must(rt, os.WriteFile(path, old, 0o600))
				must(rt, os.Chmod(path, mode))
			}
			before := names(rt, dir)
			parts := rapid.SliceOf(rapid.SliceOfN(rapid.Byte(), 0, 100)).Draw(rt, "parts")
			fails := rapid.IntRange(-1, len(parts)-1).Draw(rt, "fails at")
			broken := errors.New("broken")
			err := WriteWith(t.Context(), path, func(w io.Writer) error {
				for i, p := range parts {
					if i == fails {
						return broken
					}
					if _, err := w.Write(p); err != nil {
						return err
					}
				}
				return nil
			})
			if fails >= 0 {
				if !errors.Is(err, broken) || names(rt, dir) != before {
					rt.Fatalf("%v; left: %q, before %q", err, names(rt, dir), before)
				}
				if exists && read(rt, path) != string(old) {
					rt.Fatal("the old content is gone")
				}
				return
			}
			if want := string(bytes.Join(parts, nil)); err != nil || read(rt, path) != want || names(rt, dir) != "out" {
				rt.Fatalf("%v; %q, want %q; left: %q", err, read(rt, path), want, names(rt, dir))
			}
			if info, err := os.Stat(path); err != nil || exists && info.Mode() != mode {
				rt.Fatalf("%v, mode %v, want %v", err, info.Mode(), mode)
			}
		})
	})
}
