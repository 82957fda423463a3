// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mllb/internal/namedfile"
)

// Kernel is a bootable kernel and where it came from.
type Kernel struct {
	Series   string    `json:"series,omitempty"` // "6.12"; "" for one that was named by path
	Path     string    `json:"-"`
	Release  string    `json:"release"` // as uname -r prints it
	Package  string    `json:"package,omitempty"`
	Version  string    `json:"version,omitempty"` // of the package
	SHA256   string    `json:"sha256,omitempty"`  // of the kernel image
	Obtained time.Time `json:"obtained,omitzero"`
	Modules  []string  `json:"modules,omitempty"` // that the guest needs to answer, beside Path, in the order to load them
}

// String names the kernel in messages.
func (k Kernel) String() string { return k.Release }

const (
	kernelImage  = "vmlinuz"
	kernelRecord = "kernel.json"
)

// CacheDir is where kernels and built programs are kept: mllb below the
// user's cache directory.
func CacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a directory for the lab's files: %w; use --cache", err)
	}
	return filepath.Join(dir, "mllb"), nil
}

// FindKernel resolves a series that Fetch has got, or the path of a bzImage.
func FindKernel(cache, name string) (Kernel, error) {
	if strings.ContainsRune(name, '/') || isFile(name) {
		release, err := imageRelease(name)
		if err != nil {
			return Kernel{}, err
		}
		return Kernel{Path: name, Release: release}, nil
	}
	if _, ok := sources[name]; !ok {
		return Kernel{}, fmt.Errorf("%w %q: want a path or one of %s", ErrNoKernel, name, strings.Join(keys(sources), ", "))
	}
	dir := filepath.Join(cache, "kernels", name)
	b, err := os.ReadFile(filepath.Join(dir, kernelRecord))
	if errors.Is(err, fs.ErrNotExist) {
		return Kernel{}, fmt.Errorf("%w %s yet: mllb lab fetch %s", ErrNoKernel, name, name)
	} else if err != nil {
		return Kernel{}, err
	}
	k := Kernel{Path: filepath.Join(dir, kernelImage)}
	if err := json.Unmarshal(b, &k); err != nil {
		return Kernel{}, fmt.Errorf("read the record of kernel %s: %w", name, err)
	}
	if !isFile(k.Path) {
		return Kernel{}, fmt.Errorf("%w: %s is gone: mllb lab fetch %s", ErrNoKernel, k.Path, name)
	}
	for _, m := range k.Modules {
		if file := k.beside(m); !isFile(file) {
			return Kernel{}, fmt.Errorf("%w: %s is gone: mllb lab fetch %s", ErrNoKernel, file, name)
		}
	}
	return k, nil
}

// beside is the path of a file in the kernel's directory.
func (k Kernel) beside(name string) string { return filepath.Join(filepath.Dir(k.Path), name) }

// imageRelease reads the release from a bzImage's header
// (Documentation/arch/x86/boot.rst: "HdrS" at 0x202, kernel_version at 0x20e).
func imageRelease(file string) (string, error) {
	f, err := namedfile.Open(file)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNoKernel, err)
	}
	defer f.Close()
	head := make([]byte, 64<<10)
	n, err := f.ReadAt(head, 0)
	if n < 0x210 || !bytes.Equal(head[0x202:0x206], []byte("HdrS")) {
		return "", fmt.Errorf("%w: %s is not an x86 bzImage", ErrNoKernel, file)
	}
	at := int(binary.LittleEndian.Uint16(head[0x20e:])) + 0x200
	if at >= n {
		return "", fmt.Errorf("%w: %s: no version in its header (%v)", ErrNoKernel, file, err)
	}
	version, _, _ := bytes.Cut(head[at:min(n, at+128)], []byte(" "))
	return printable(version), nil
}
