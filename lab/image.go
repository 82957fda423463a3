// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

const (
	guestInit = "/bin/mllb" // this program: the guest's init and its mllb
	guestPath = "/bin"
	guestConf = "/etc/mllb-lab.json"
	guestOut  = "/out"
)

// guestConfig tells the guest's init what to do.
type guestConfig struct {
	Args     rawStrings `json:"args"` // none: boot, answer, end
	Env      rawStrings `json:"env"`
	Dir      string     `json:"dir"`
	Modules  []string   `json:"modules"` // to load first, in this order
	CgroupV1 bool       `json:"cgroup_v1"`
	Files    bool       `json:"files"` // send /out
	Stdin    bool       `json:"stdin"` // expect stdin frames
	TTY      bool       `json:"tty"`
	Rows     uint16     `json:"rows"`
	Cols     uint16     `json:"cols"`
}

// rawStrings are strings of any bytes, as arguments are; those of JSON are
// Unicode.
type rawStrings []string

// MarshalJSON writes base64, as encoding/json does for bytes.
func (r rawStrings) MarshalJSON() ([]byte, error) {
	raw := make([][]byte, len(r))
	for i, s := range r {
		raw[i] = []byte(s)
	}
	return json.Marshal(raw)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (r *rawStrings) UnmarshalJSON(b []byte) error {
	var raw [][]byte
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	*r = nil
	for _, s := range raw {
		*r = append(*r, string(s))
	}
	return nil
}

// File is a file or a directory of the host to put in the guest. A link is
// followed, but links within a directory stay links.
type File struct {
	Host  string
	Guest string // absolute path

	skip func(fs.FileInfo) bool // nil: all of a directory is wanted
}

// ParseCopy reads FILE[:DEST]. Without DEST, or with one that ends in "/", the
// file keeps its name; without DEST it goes to /bin if it is executable and to
// /root if it is not.
func ParseCopy(arg string) (File, error) {
	host, dest, _ := strings.Cut(arg, ":")
	info, err := os.Stat(host)
	if err != nil {
		return File{}, fmt.Errorf("copy %q: %w", arg, err)
	}
	switch {
	case dest == "" && info.Mode().IsRegular() && info.Mode()&0o111 != 0:
		dest = guestPath + "/"
	case dest == "":
		dest = "/root/"
	case !path.IsAbs(dest):
		return File{}, fmt.Errorf("copy %q: the destination in the guest must be an absolute path", arg)
	}
	if strings.HasSuffix(dest, "/") {
		dest = path.Join(dest, filepath.Base(host))
	}
	return File{Host: host, Guest: path.Clean(dest)}, nil
}

// image is a root file system: links and contents by absolute path.
type image struct {
	files map[string]string // host path of a regular file
	links map[string]string
	texts map[string][]byte
	dirs  map[string]bool
}

// linkedDirs make scripts written for ordinary systems find their interpreter.
var linkedDirs = map[string]string{"/sbin": "/bin", "/usr/bin": "/bin", "/usr/sbin": "/bin"}

func newImage() *image {
	im := &image{
		files: map[string]string{},
		links: maps.Clone(linkedDirs),
		texts: map[string][]byte{
			"/etc/passwd": []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"),
			"/etc/group":  []byte("root:x:0:\nnogroup:x:65534:\n"),
			"/etc/hosts":  []byte("127.0.0.1 localhost mllb-lab\n::1 localhost\n"),
		},
		dirs: map[string]bool{},
	}
	for _, dir := range []string{"/root", "/tmp", "/run", guestOut} {
		im.dirs[dir] = true
	}
	for _, m := range earlyMounts {
		if !strings.HasPrefix(m.target, "/sys/") {
			im.dirs[m.target] = true
		}
	}
	return im
}

// place rewrites paths that go through one of linkedDirs.
func place(guest string) string {
	for from, to := range linkedDirs {
		if rest, ok := strings.CutPrefix(guest, from+"/"); ok {
			return path.Join(to, rest)
		}
	}
	return path.Clean(guest)
}

// add puts files in the image, and what the loader needs for the programs
// among them.
func (im *image) add(files ...File) error {
	dirs := loaderDirs("/etc/ld.so.conf")
	for _, f := range files {
		if err := im.addTree(f, dirs); err != nil {
			return fmt.Errorf("put %s in the guest: %w", f.Host, err)
		}
	}
	return nil
}

func (im *image) addTree(f File, dirs []string) error {
	top, err := filepath.EvalSymlinks(f.Host)
	if err != nil {
		return err
	}
	return filepath.Walk(top, func(host string, info fs.FileInfo, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, host)
		if err != nil {
			return err
		}
		guest := place(path.Join(f.Guest, filepath.ToSlash(rel)))
		switch {
		case f.skip != nil && f.skip(info):
			return nil
		case info.IsDir():
			im.dirs[guest] = true
			return nil
		case info.Mode()&fs.ModeSymlink != 0:
			im.links[guest], err = os.Readlink(host)
			return err
		}
		return im.addFile(host, guest, info, dirs)
	})
}

func (im *image) addFile(host, guest string, info fs.FileInfo, dirs []string) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", host)
	}
	im.files[guest] = host
	if info.Mode()&0o111 == 0 {
		return nil
	}
	shared, err := sharedFiles(host, dirs)
	if err != nil {
		return err
	}
	for _, s := range shared {
		im.files[place(s.Guest)] = s.Host
	}
	return nil
}

// addModules adds those that the kernel needs, and returns where they are.
func (im *image) addModules(k Kernel) (paths []string, err error) {
	for _, name := range k.Modules {
		paths = append(paths, "/lib/modules/"+name)
		err = errors.Join(err, im.add(File{Host: k.beside(name), Guest: "/lib/modules/" + name}))
	}
	return paths, err
}

// addBusybox adds the host's busybox, if it has one, with a link for each of
// its applets that no other file provides.
func (im *image) addBusybox() error {
	host, err := exec.LookPath("busybox")
	if err != nil {
		return fmt.Errorf("%w; install Debian's package busybox-static for a shell in the guest", err)
	}
	list, err := exec.Command(host, "--list").Output()
	if err != nil {
		return fmt.Errorf("list the applets of %s: %w", host, err)
	}
	if err := im.add(File{Host: host, Guest: "/bin/busybox"}); err != nil {
		return err
	}
	for name := range strings.FieldsSeq(string(list)) {
		if p := "/bin/" + path.Base(name); im.files[p] == "" {
			im.links[p] = "/bin/busybox"
		}
	}
	return nil
}

// write makes the archive, parents before children.
func (im *image) write(w io.Writer, conf guestConfig) error {
	b, err := json.Marshal(conf)
	if err != nil {
		return fmt.Errorf("encode the guest's configuration: %w", err)
	}
	im.texts[guestConf] = b
	for _, paths := range [][]string{keys(im.files), keys(im.links), keys(im.texts)} {
		for _, p := range paths {
			im.dirs[path.Dir(p)] = true
		}
	}
	for _, d := range keys(im.dirs) {
		for ; d != "/"; d = path.Dir(d) {
			im.dirs[d] = true
		}
	}
	c := newCPIO(w)
	for _, d := range keys(im.dirs) {
		if d != "/" {
			c.dir(d[1:])
		}
	}
	for _, p := range keys(im.links) {
		c.link(p[1:], im.links[p])
	}
	for _, p := range keys(im.texts) {
		c.bytes(p[1:], modeRegular|0o644, im.texts[p])
	}
	for _, p := range keys(im.files) {
		if err := copyIn(c, p[1:], im.files[p]); err != nil {
			return err
		}
	}
	return c.close()
}

func copyIn(c *cpioWriter, name, host string) error {
	f, err := os.Open(host)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		c.file(name, uint32(info.Mode().Perm()), info.Size(), f)
	}
	return errors.Join(err, f.Close())
}

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
