// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// unpack makes the directory that the program runs in, with its input, once for
// a size and number of threads.
func (p program) unpack(pkg, input string, threads int, scratch string) (string, error) {
	if scratch == "" {
		return "", errors.New("no scratch directory")
	}
	inputs := filepath.Join(pkg, "inputs")
	archive := filepath.Join(inputs, "input_"+input+".tar")
	f, err := os.Open(archive)
	switch {
	case errors.Is(err, os.ErrNotExist) && p.inputs:
		have := strings.Join(names(inputs, "input_", ".tar"), ", ")
		if have == "" {
			have = "none"
		}
		return "", &Missing{fmt.Sprintf("input %s of %s", input, p.name), "unpack PARSEC's archive of inputs over its tree; there are here: " + have}
	case err != nil && p.inputs:
		return "", err
	case err == nil:
		defer f.Close()
	}
	dir, err := filepath.Abs(filepath.Join(scratch, fmt.Sprintf("parsec-%s-%s-%d", p.name, input, threads)))
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	// It gets its name when all of it is there.
	part, err := os.MkdirTemp(scratch, "unpack-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(part)
	if p.inputs {
		if err := untar(f, part); err != nil {
			return "", fmt.Errorf("%s: %w", archive, err)
		}
	}
	if err := os.Chmod(part, 0o755); err != nil {
		return "", err
	}
	return dir, os.Rename(part, dir)
}

// untar writes an archive's files and directories below dir. Anything else in
// it, or anything above, is an error.
func untar(r io.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		name := filepath.Clean(h.Name)
		switch h.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(name, 0o755)
		case tar.TypeReg:
			err = writeFile(root, name, tr)
		default:
			err = fmt.Errorf("%s is of type %q", h.Name, h.Typeflag)
		}
		if err != nil {
			return err
		}
	}
}

func writeFile(root *os.Root, name string, r io.Reader) error {
	if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := root.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}
