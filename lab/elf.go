// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bufio"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// guestLibs is where shared libraries lie in the guest; LD_LIBRARY_PATH says
// so to the loader, which has no cache there.
const guestLibs = "/lib"

// needs is what one ELF file asks of the loader. A static one asks for nothing.
type needs struct {
	interp string
	libs   []string
	paths  []string // RUNPATH or RPATH, $ORIGIN replaced
}

// readNeeds returns fs.ErrNotExist or a *elf.FormatError for what is no ELF file.
func readNeeds(file string) (needs, error) {
	f, err := elf.Open(file)
	if err != nil {
		return needs{}, err
	}
	defer f.Close()
	var n needs
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			b, err := io.ReadAll(io.LimitReader(p.Open(), 4096))
			if err != nil {
				return needs{}, fmt.Errorf("read the loader's name in %s: %w", file, err)
			}
			n.interp = strings.TrimRight(string(b), "\x00")
		}
	}
	if n.libs, err = f.ImportedLibraries(); err != nil {
		return needs{}, fmt.Errorf("read the libraries of %s: %w", file, err)
	}
	for _, tag := range []elf.DynTag{elf.DT_RUNPATH, elf.DT_RPATH} {
		values, err := f.DynString(tag)
		if err != nil {
			return needs{}, fmt.Errorf("read the library path of %s: %w", file, err)
		}
		for _, v := range values {
			v = strings.NewReplacer("$ORIGIN", filepath.Dir(file), "${ORIGIN}", filepath.Dir(file)).Replace(v)
			n.paths = append(n.paths, strings.Split(v, ":")...)
		}
	}
	return n, nil
}

// sharedFiles lists what a program needs to be loaded: its ELF interpreter at
// its own path, and each library, found as ld.so(8) would, in guestLibs. dirs
// are the loader's directories. Static programs and scripts need nothing.
func sharedFiles(program string, dirs []string) ([]File, error) {
	found := map[string]string{} // guest path: host path
	for queue := []string{program}; len(queue) > 0; queue = queue[1:] {
		n, err := readNeeds(queue[0])
		var format *elf.FormatError
		if errors.As(err, &format) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			continue
		} else if err != nil {
			return nil, err
		}
		if n.interp != "" {
			found[n.interp] = n.interp
		}
		for _, lib := range n.libs {
			dest := path.Join(guestLibs, filepath.Base(lib))
			if _, ok := found[dest]; ok {
				continue
			}
			src, err := findLibrary(lib, slices.Concat(n.paths, dirs))
			if err != nil {
				return nil, fmt.Errorf("%s needs %s: %w", queue[0], lib, err)
			}
			found[dest] = src
			queue = append(queue, src)
		}
	}
	var files []File
	for dest, src := range found {
		files = append(files, File{Host: src, Guest: dest})
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Guest, b.Guest) })
	return files, nil
}

func findLibrary(name string, dirs []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, dir := range dirs {
		if file := filepath.Join(dir, name); isFile(file) {
			return file, nil
		}
	}
	return "", fmt.Errorf("%w in %s", fs.ErrNotExist, strings.Join(dirs, ":"))
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// loaderDirs are the directories of ld.so.conf(5) with its includes, then the
// loader's built-in ones.
func loaderDirs(conf string) []string {
	dirs := loaderConf(conf, 0)
	return append(dirs, "/lib64", "/usr/lib64", "/lib", "/usr/lib")
}

func loaderConf(conf string, depth int) []string {
	f, err := os.Open(conf)
	if err != nil || depth > 8 {
		return nil // no file is no directories; an include loop ends here
	}
	defer f.Close()
	var dirs []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(line)
		switch {
		case len(fields) == 2 && fields[0] == "include":
			pattern := fields[1]
			if !filepath.IsAbs(pattern) {
				pattern = filepath.Join(filepath.Dir(conf), pattern)
			}
			matches, err := filepath.Glob(pattern)
			if err != nil {
				continue // a malformed pattern includes nothing, as for ldconfig
			}
			for _, m := range matches {
				dirs = append(dirs, loaderConf(m, depth+1)...)
			}
		case len(fields) == 1:
			dirs = append(dirs, fields[0])
		}
	}
	return dirs
}
