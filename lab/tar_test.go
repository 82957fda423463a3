// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// hostileTars try to write a file "victim" beside the directory "out".
var hostileTars = map[string][]tar.Header{
	"dotdot":   {{Name: "../victim", Typeflag: tar.TypeReg}},
	"link":     {{Name: "up", Typeflag: tar.TypeSymlink, Linkname: ".."}, {Name: "up/victim", Typeflag: tar.TypeReg}},
	"device":   {{Name: "disk", Typeflag: tar.TypeBlock}},
	"hardlink": {{Name: "h", Typeflag: tar.TypeLink, Linkname: "../victim"}},
}

func tarHeaders(t *testing.T, headers []tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		text := ""
		if h.Mode = 0o644; h.Typeflag == tar.TypeReg {
			text = "theirs"
		}
		h.Size = int64(len(text))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestTarRoundTrip(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "new")
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	for name, text := range map[string][]byte{"empty": nil, "d/big": big, "d/e/set-id": []byte("x")} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(from, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(from, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(from, "d/e/set-id"), 0o755|fs.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("d/big", filepath.Join(from, "link")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(from, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	files, skipped, err := writeTar(&b, from)
	if err != nil || files != 3 || skipped != 1 {
		t.Fatalf("%d files, %d skipped, %v; want 3, 1", files, skipped, err)
	}
	for range 2 { // the second time over the first
		if n, err := readTar(bytes.NewReader(b.Bytes()), to); err != nil || n != 3 {
			t.Fatalf("%d files, %v", n, err)
		}
	}
	if got, err := os.ReadFile(filepath.Join(to, "link")); err != nil || !bytes.Equal(got, big) {
		t.Errorf("through the link: %d bytes, %v", len(got), err)
	}
	if info, err := os.Stat(filepath.Join(to, "d/e/set-id")); err != nil || info.Mode() != 0o755 {
		t.Errorf("set-id file: %v, %v", info.Mode(), err)
	}
	// What is no file of an earlier copy stays.
	for _, name := range []string{"empty", "link"} {
		other := t.TempDir()
		if err := syscall.Mkfifo(filepath.Join(other, name), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readTar(bytes.NewReader(b.Bytes()), other); err == nil {
			t.Errorf("over a FIFO named %s: no error", name)
		}
		if info, err := os.Lstat(filepath.Join(other, name)); err != nil || info.Mode().Type() != fs.ModeNamedPipe {
			t.Errorf("%s is %v now, %v", name, info.Mode(), err)
		}
	}
	for cut := 1; cut < b.Len(); cut += b.Len() / 7 {
		// All but the end mark's second half is needed.
		if n, err := readTar(bytes.NewReader(b.Bytes()[:cut]), t.TempDir()); err == nil && n == 3 {
			t.Errorf("cut at %d of %d: %d files and no error", cut, b.Len(), n)
		}
	}
}
