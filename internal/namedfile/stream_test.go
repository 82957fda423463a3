// SPDX-License-Identifier: Apache-2.0

package namedfile

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A device, pipe or socket is written to, by its own name or by a link, and stays.
func TestStreams(t *testing.T) {
	for _, link := range []bool{false, true} {
		path := map[bool]string{false: "out", true: "link"}[link]
		t.Run(path, func(t *testing.T) {
			written := func(t *testing.T, kind fs.FileMode, want error) {
				t.Helper()
				if link {
					must(t, os.Symlink("out", "link"))
				}
				must(t, Check(path))
				if err := Write(t.Context(), path, []byte(content)); !errors.Is(err, want) {
					t.Errorf("%v, want %v", err, want)
				}
				info, err := os.Lstat("out")
				must(t, err)
				if info.Mode().Type() != kind {
					t.Errorf("it is %v now", info.Mode())
				}
			}
			t.Run("null", func(t *testing.T) {
				chdir(t)
				mknod(t, "out", unix.S_IFCHR|0o666, 1, 3)
				written(t, fs.ModeDevice|fs.ModeCharDevice, nil)
			})
			t.Run("full", func(t *testing.T) {
				chdir(t)
				mknod(t, "out", unix.S_IFCHR|0o666, 1, 7)
				written(t, fs.ModeDevice|fs.ModeCharDevice, unix.ENOSPC)
			})
			t.Run("fifo", func(t *testing.T) {
				chdir(t)
				must(t, unix.Mkfifo("out", 0o600))
				got := make(chan string, 1)
				go func() {
					b, err := os.ReadFile("out")
					got <- string(b) + errText(err)
				}()
				written(t, fs.ModeNamedPipe, nil)
				if got := <-got; got != content {
					t.Errorf("read %q", got)
				}
			})
			t.Run("socket", func(t *testing.T) {
				chdir(t)
				l, err := net.Listen("unix", "out")
				must(t, err)
				defer l.Close()
				got := make(chan string, 1)
				go func() {
					c, err := l.Accept()
					if err != nil {
						got <- err.Error()
						return
					}
					b, err := io.ReadAll(c)
					got <- string(b) + errText(err)
				}()
				written(t, fs.ModeSocket, nil)
				if got := <-got; got != content {
					t.Errorf("read %q", got)
				}
			})
		})
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// A process's own descriptor goes on from where it is, also in a regular file.
func TestDescriptor(t *testing.T) {
	chdir(t)
	f, err := os.Create("f")
	must(t, err)
	defer f.Close()
	for i, dir := range []string{"/dev/fd", "/proc/self/fd", "/dev/fd"} {
		must(t, Write(t.Context(), filepath.Join(dir, filepath.Base(descriptorPath(int(f.Fd())))), []byte{byte('a' + i)}))
	}
	must(t, os.Symlink(descriptorPath(int(f.Fd())), "link"))
	must(t, Write(t.Context(), "link", []byte("d")))
	if got := read(t, "f"); got != "abcd" {
		t.Errorf("f has %q", got)
	}
	r, err := Open("f")
	must(t, err)
	defer r.Close()
	if err := Write(t.Context(), descriptorPath(int(r.Fd())), nil); !errors.Is(err, errFD) {
		t.Errorf("a descriptor to read from: %v", err)
	}
}

// A FIFO that nobody reads, or nobody reads on, holds nobody after the context.
func TestStreamEnds(t *testing.T) {
	chdir(t)
	must(t, unix.Mkfifo("out", 0o600))
	stop := errors.New("stop")
	for _, test := range []struct {
		name string
		size int
		open int
	}{{"no reader", 1, -1}, {"no reader, nothing to write", 0, -1}, {"reader that does not read", 1 << 20, unix.O_RDONLY | unix.O_NONBLOCK}} {
		t.Run(test.name, func(t *testing.T) {
			if test.open >= 0 {
				fd, err := unix.Open("out", test.open, 0)
				must(t, err)
				defer unix.Close(fd)
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			o, err := Create(ctx, "out")
			must(t, err)
			go cancel(stop)
			_, werr := o.Write(make([]byte, test.size))
			if err := o.Commit(); !errors.Is(err, stop) || werr != nil && !errors.Is(werr, stop) {
				t.Errorf("write: %v; commit: %v", werr, err)
			}
			o.Abort()
		})
	}
}
