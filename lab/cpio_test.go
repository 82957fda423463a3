// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// cpioEntry is one member of a newc archive.
type cpioEntry struct {
	Name string
	Mode uint32
	Data string
}

// readCPIO is an independent reader after buffer-format.rst.
func readCPIO(b []byte) ([]cpioEntry, error) {
	var all []cpioEntry
	inodes := map[string]bool{}
	for at := 0; ; {
		if len(b) < at+110 || string(b[at:at+6]) != "070701" {
			return nil, fmt.Errorf("offset %d: no header", at)
		}
		field := func(i int) int {
			v, err := strconv.ParseUint(string(b[at+6+8*i:at+14+8*i]), 16, 32)
			if err != nil {
				panic(err)
			}
			return int(v)
		}
		size, nameLen := field(6), field(11)
		name := string(b[at+110 : at+110+nameLen-1])
		if b[at+110+nameLen-1] != 0 {
			return nil, fmt.Errorf("%s: the name does not end in NUL", name)
		}
		data := (at + 110 + nameLen + 3) &^ 3
		if name == "TRAILER!!!" {
			return all, nil
		}
		inode := string(b[at+6 : at+14])
		if inodes[inode] {
			return nil, fmt.Errorf("%s: inode %s again: the kernel would link the two", name, inode)
		}
		inodes[inode] = true
		all = append(all, cpioEntry{name, uint32(field(1)), string(b[data : data+size])})
		at = (data + size + 3) &^ 3
	}
}

func TestCPIORoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfDistinct(rapid.StringMatching(`[a-z]{1,9}(/[a-z.]{1,9}){0,3}`), rapid.ID[string]).Draw(t, "names")
		var want []cpioEntry
		var out bytes.Buffer
		c := newCPIO(&out)
		for _, name := range names {
			data := rapid.String().Draw(t, "data")
			switch rapid.IntRange(0, 2).Draw(t, "type") {
			case 0:
				c.dir(name)
				want = append(want, cpioEntry{name, modeDir | 0o755, ""})
			case 1:
				c.link(name, data)
				want = append(want, cpioEntry{name, modeLink | 0o777, data})
			case 2:
				c.file(name, 0o640, int64(len(data)), strings.NewReader(data))
				want = append(want, cpioEntry{name, modeRegular | 0o640, data})
			}
		}
		if err := c.close(); err != nil {
			t.Fatal(err)
		}
		if out.Len()%4 != 0 {
			t.Fatalf("archive of %d bytes", out.Len())
		}
		got, err := readCPIO(out.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

func TestCPIOErrors(t *testing.T) {
	c := newCPIO(io.Discard)
	c.file("shrunk", 0o644, 10, strings.NewReader("short"))
	if err := c.close(); err == nil || !strings.Contains(err.Error(), "shrunk: 5 of 10 bytes") {
		t.Errorf("a file that shrank: %v", err)
	}
	c = newCPIO(io.Discard)
	c.file("huge", 0o644, 1<<32, strings.NewReader(""))
	if err := c.close(); err == nil || !strings.Contains(err.Error(), "do not fit") {
		t.Errorf("a file of 4 GiB: %v", err)
	}
}

func TestImage(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"tree/a": "A", "tree/sub/b": "B", "tree/skip.go": "no", "script": "#!/bin/sh\n"} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("sub", filepath.Join(dir, "tree/link")); err != nil {
		t.Fatal(err)
	}
	im := newImage()
	err := im.add(
		File{Host: dir + "/tree", Guest: "/src/tree", skip: func(i fs.FileInfo) bool { return i.Name() == "skip.go" }},
		File{Host: dir + "/script", Guest: "/usr/bin/script"})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := im.write(&out, guestConfig{Args: []string{"true"}}); err != nil {
		t.Fatal(err)
	}
	entries, err := readCPIO(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range entries {
		if parent := filepath.Dir(e.Name); parent != "." {
			if _, ok := got[parent]; !ok {
				t.Errorf("%s comes before its directory", e.Name)
			}
		}
		got[e.Name] = e.Data
	}
	for name, want := range map[string]string{
		"src/tree/a": "A", "src/tree/sub/b": "B", "src/tree/link": "sub", "bin/script": "#!/bin/sh\n",
		"usr/bin": "/bin", "proc": "", "out": "", "dev": "",
	} {
		if data, ok := got[name]; !ok || data != want {
			t.Errorf("%s: %q, there: %v; want %q", name, data, ok, want)
		}
	}
	if _, ok := got["src/tree/skip.go"]; ok {
		t.Error("skip.go is there")
	}
	var conf guestConfig
	if err := json.Unmarshal([]byte(got["etc/mllb-lab.json"]), &conf); err != nil || !slices.Equal(conf.Args, []string{"true"}) {
		t.Errorf("configuration: %s, %v", got["etc/mllb-lab.json"], err)
	}
}

func TestParseCopy(t *testing.T) {
	dir := t.TempDir()
	program, data := filepath.Join(dir, "program"), filepath.Join(dir, "data")
	for file, perm := range map[string]os.FileMode{program: 0o755, data: 0o644} {
		if err := os.WriteFile(file, nil, perm); err != nil {
			t.Fatal(err)
		}
	}
	for arg, want := range map[string]string{
		program: "/bin/program", data: "/root/data", dir: "/root/" + filepath.Base(dir),
		program + ":/opt/x": "/opt/x", data + ":/etc/": "/etc/data", data + ":/../x": "/x",
	} {
		if got, err := ParseCopy(arg); err != nil || got.Guest != want {
			t.Errorf("%s: %q, %v; want %q", arg, got.Guest, err, want)
		}
	}
	for _, arg := range []string{"", dir + "/none", data + ":relative"} {
		if got, err := ParseCopy(arg); err == nil {
			t.Errorf("%q gave %v", arg, got)
		}
	}
}
