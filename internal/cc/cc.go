// SPDX-License-Identifier: Apache-2.0

// Package cc finds a C compiler for tests. That one is installed says little: without
// its recommended packages Debian's clang-19 has no sanitizers, and its gcc no libc.
package cc

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

var candidates = []string{"clang-19", "gcc", "cc"}

// Find returns the first compiler that links a program with these flags which then
// runs. Where there is none it skips the test, or fails it if CI is true.
func Find(tb testing.TB, flags ...string) string {
	tb.Helper()
	key := strings.Join(flags, "\x00")
	mu.Lock()
	defer mu.Unlock()
	path, ok := found[key]
	if !ok {
		var err error
		if path, err = find(tb.TempDir(), flags); err != nil && os.Getenv("CI") == "true" {
			tb.Fatal(err)
		} else if err != nil {
			tb.Skip(err)
		}
		found[key] = path
	}
	return path
}

var (
	mu    sync.Mutex
	found = make(map[string]string) // by flags
)

// find tries the candidates in dir; its error says what is wrong with each.
func find(dir string, flags []string) (string, error) {
	source, program := filepath.Join(dir, "main.c"), filepath.Join(dir, "main")
	if err := os.WriteFile(source, []byte("#include <stdio.h>\nint main(void) { return puts(\"ok\") < 0; }\n"), 0o644); err != nil {
		return "", err
	}
	args := append(slices.Clip(flags), "-o", program, source)
	problems := []error{fmt.Errorf("no C compiler for %s", strings.Join(flags, " "))}
	for _, name := range candidates {
		path, err := exec.LookPath(name)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s is missing", name))
			continue
		}
		if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w: %s", path, err, firstLine(out)))
			continue
		}
		if out, err := exec.Command(program).CombinedOutput(); err != nil {
			problems = append(problems, fmt.Errorf("what %s builds does not run: %w: %s", path, err, firstLine(out)))
			continue
		}
		return path, nil
	}
	return "", errors.Join(problems...)
}

func firstLine(out []byte) string {
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}
