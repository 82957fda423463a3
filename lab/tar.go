// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// writeTar sends the files, directories and links below dir. What is none of
// these is counted as skipped.
func writeTar(w io.Writer, dir string) (files, skipped int, err error) {
	t := tar.NewWriter(w)
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if m := info.Mode().Type(); m != 0 && m != fs.ModeDir && m != fs.ModeSymlink {
			skipped++
			return nil
		}
		if info.Mode().IsRegular() {
			files++
		}
		return tarOne(t, dir, path, info)
	})
	return files, skipped, errors.Join(err, t.Close())
}

func tarOne(t *tar.Writer, dir, path string, info fs.FileInfo) error {
	target := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		var err error
		if target, err = os.Readlink(path); err != nil {
			return err
		}
	}
	h, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return err
	}
	if h.Name, err = filepath.Rel(dir, path); err != nil {
		return err
	}
	if err := t.WriteHeader(h); err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(t, f)
	return err
}

// readTar unpacks below dir, which it makes, and returns the number of regular
// files. The guest is not trusted: os.Root keeps every path inside dir, and
// neither owners nor set-id bits are taken over.
func readTar(r io.Reader, dir string) (files int, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			_, err := io.Copy(io.Discard, r) // the end mark's padding
			return files, err
		}
		if err != nil {
			return files, err
		}
		if err := unpack(root, h, t); err != nil {
			return files, fmt.Errorf("unpack %q: %w", h.Name, err)
		}
		if h.Typeflag == tar.TypeReg {
			files++
		}
	}
}

func unpack(root *os.Root, h *tar.Header, r io.Reader) error {
	name := filepath.Clean(h.Name)
	perm := fs.FileMode(h.Mode) & fs.ModePerm
	switch h.Typeflag {
	case tar.TypeDir:
		return root.MkdirAll(name, perm|0o700)
	case tar.TypeSymlink:
		if err := unpacked(root.Lstat(name)); err != nil {
			return err
		}
		err := root.Remove(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return root.Symlink(h.Linkname, name)
	case tar.TypeReg:
		if err := unpacked(root.Stat(name)); err != nil {
			return err
		}
		f, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, perm)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, r)
		return errors.Join(err, f.Close())
	}
	return fmt.Errorf("unexpected type %q", h.Typeflag)
}

// unpacked refuses to write over what no earlier call can have made there.
func unpacked(info fs.FileInfo, err error) error {
	if err == nil && !info.Mode().IsRegular() && info.Mode().Type() != fs.ModeSymlink {
		return fmt.Errorf("neither a file nor a link is there: %v", info.Mode())
	}
	return nil
}
