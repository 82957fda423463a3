// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A dynamic program of this host is checked against what its own loader says.
func TestSharedFiles(t *testing.T) {
	var program string
	for _, p := range []string{"/usr/bin/stress-ng", "/usr/bin/env", "/bin/ls"} {
		if n, err := readNeeds(p); err == nil && n.interp != "" && len(n.libs) > 0 {
			program = p
			break
		}
	}
	if program == "" {
		t.Skip("no dynamic program on this host")
	}
	files, err := sharedFiles(program, loaderDirs("/etc/ld.so.conf"))
	if err != nil {
		t.Fatal(err)
	}
	loader := ""
	for _, f := range files {
		if !isFile(f.Host) {
			t.Errorf("%s is no file", f.Host)
		}
		if dir := path.Dir(f.Guest); dir != guestLibs {
			loader = f.Guest
		}
	}
	if loader == "" {
		t.Fatalf("no loader among %v", files)
	}
	out, err := output(t.Context(), "/", loader, "--list", program)
	if err != nil {
		t.Skipf("the loader cannot list: %v", err)
	}
	libs := 0
	for line := range strings.Lines(string(out)) {
		name, file, found := strings.Cut(strings.TrimSpace(line), " => ")
		if !found || !strings.HasPrefix(file, "/") {
			continue // the vdso and the loader
		}
		libs++
		has := func(f File) bool { return path.Base(f.Guest) == filepath.Base(name) }
		if !slices.ContainsFunc(files, has) && name != loader {
			t.Errorf("%s needs %s, which is not among its files", program, name)
		}
	}
	if libs == 0 {
		t.Errorf("the loader lists no library of %s:\n%s", program, out)
	}
}

func TestSharedFilesOfOthers(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{script, empty} {
		if files, err := sharedFiles(file, nil); err != nil || len(files) > 0 {
			t.Errorf("%s: %v, %v", file, files, err)
		}
	}
	if _, err := sharedFiles(filepath.Join(t.TempDir(), "none"), nil); err == nil {
		t.Error("a missing program needs nothing")
	}
	if _, err := findLibrary("libnone.so.1", []string{t.TempDir()}); err == nil {
		t.Error("found a library that does not exist")
	}
}

func TestLoaderDirs(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"ld.so.conf": "include conf.d/*.conf\n/opt/lib # ours\n", "conf.d/a.conf": "/a\n\n# no\n/b\n",
		"conf.d/loop.conf": "include loop.conf\n/loop\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got := strings.Join(loaderDirs(filepath.Join(dir, "ld.so.conf")), " ")
	if !strings.HasPrefix(got, "/a /b /loop") || !strings.Contains(got, "/loop /opt/lib /lib64") {
		t.Errorf("got %s", got)
	}
}
