// SPDX-License-Identifier: Apache-2.0

package namedfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// An owner keeps the file, and whoever cannot leave it to him does not get it.
func TestOwner(t *testing.T) {
	asRoot(t)
	both(t, func(t *testing.T) {
		chdir(t)
		put(t, "out", "old", 0o640)
		must(t, os.Chown("out", 12345, 54321))
		must(t, Write(t.Context(), "out", []byte(content)))
		info, err := os.Stat("out")
		must(t, err)
		if st := info.Sys().(*syscall.Stat_t); st.Uid != 12345 || st.Gid != 54321 || info.Mode() != 0o640 {
			t.Errorf("owner %d:%d, mode %v", st.Uid, st.Gid, info.Mode())
		}
	})
}

// What another user put into a directory like /tmp is not touched.
func TestPlanted(t *testing.T) {
	asRoot(t)
	for _, test := range []struct {
		name   string
		mode   fs.FileMode
		owner  int // of the entry
		refuse bool
	}{
		{"sticky, another's", 0o777 | fs.ModeSticky, 12345, true},
		{"sticky, ours", 0o777 | fs.ModeSticky, 0, false},
		{"sticky, its owner's", 0o777 | fs.ModeSticky, 54321, false},
		{"not sticky", 0o777, 12345, false},
		{"sticky, but for its owner", 0o755 | fs.ModeSticky, 12345, false},
	} {
		for _, kind := range []string{"file", "link", "fifo"} {
			t.Run(test.name+", "+kind, func(t *testing.T) {
				chdir(t)
				put(t, "secret", "old", 0o600)
				must(t, os.Mkdir("tmp", 0o755))
				must(t, os.Chmod("tmp", test.mode))
				must(t, os.Chown("tmp", 54321, 0))
				switch kind {
				case "file":
					put(t, "tmp/out", "old", 0o666)
				case "link":
					must(t, os.Symlink("../secret", "tmp/out"))
				case "fifo":
					must(t, unix.Mkfifo("tmp/out", 0o666))
				}
				must(t, os.Lchown("tmp/out", test.owner, 0))
				err := Check("tmp/out")
				if test.refuse != errors.Is(err, errPlanted) || !test.refuse && err != nil {
					t.Errorf("%v", err)
				}
				if test.refuse {
					if w, err := Log("tmp/out", os.O_APPEND); err == nil {
						w.Close()
						t.Error("it may be appended to")
					}
				}
			})
		}
	}
}

// A user who may not write says so before the work.
func TestUnprivileged(t *testing.T) {
	asRoot(t)
	chdir(t)
	must(t, os.Mkdir("ro", 0o755))
	put(t, "ro/out", "old", 0o666)
	must(t, os.Mkdir("rw", 0o777))
	must(t, os.Chmod("rw", 0o777))
	put(t, "rw/root", "old", 0o666)
	put(t, "rw/closed", "old", 0o600)
	must(t, os.Chown("rw/closed", 12345, 0))
	must(t, os.Chmod("rw/closed", 0o400))
	for dir := mustGetwd(t); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		must(t, os.Chmod(dir, 0o755))
	}
	asUser(t, 12345, func() {
		for path, want := range map[string]error{
			"ro/new": unix.EACCES, "ro/out": unix.EACCES, "rw/root": unix.EPERM, "rw/closed": unix.EACCES, "rw/new": nil,
		} {
			if err := Check(path); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", path, err, want)
			}
		}
	})
}

func mustGetwd(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	must(t, err)
	return dir
}

// asUser runs f with another effective user: credentials are the process's in Go,
// so no other test may run meanwhile.
func asUser(t *testing.T, id int, f func()) {
	t.Helper()
	must(t, syscall.Setresgid(-1, id, -1))
	defer func() { must(t, syscall.Setresgid(-1, 0, -1)) }()
	must(t, syscall.Setresuid(-1, id, -1))
	defer func() { must(t, syscall.Setresuid(-1, 0, -1)) }()
	f()
}

// What cannot be replaced is refused before the work, and can be a log.
func TestPinned(t *testing.T) {
	asRoot(t)
	chdir(t)
	put(t, "from", "", 0o644)
	put(t, "out", "", 0o644)
	if err := unix.Mount("from", "out", "", unix.MS_BIND, ""); err != nil {
		t.Skip("mount:", err)
	}
	defer func() { must(t, unix.Unmount("out", 0)) }()
	if err := Check("out"); !errors.Is(err, errPinned) {
		t.Errorf("%v", err)
	}
	w, err := Log("out", os.O_APPEND)
	must(t, err)
	_, err = io.WriteString(w, content)
	must(t, errors.Join(err, w.Close()))
	if got := read(t, "from"); got != content {
		t.Errorf("it has %q", got)
	}
}
