// SPDX-License-Identifier: Apache-2.0

package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/cgroups/v3"
	"github.com/google/go-cmp/cmp"
)

// host is a fixture: what /proc/self says, and the directories that exist.
type host struct {
	mountinfo, cgroup string
	dirs              []string
	links             map[string]string
}

const rootMount = "20 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n"

var (
	v2 = host{
		mountinfo: rootMount +
			"31 20 0:28 / /sys/fs/cgroup rw,nosuid shared:4 master:1 - cgroup2 cgroup2 rw,nsdelegate\n",
		cgroup: "0::/user.slice\n",
		dirs:   []string{"/sys/fs/cgroup/user.slice/a", "/sys/fs/cgroup/app", "/home/app"},
	}
	v1 = host{
		mountinfo: rootMount +
			"31 20 0:28 / /sys/fs/cgroup rw shared:9 - tmpfs tmpfs rw,mode=755\n" +
			"32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:10 - cgroup cgroup rw,cpu,cpuacct\n" +
			"33 31 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd\n" +
			"34 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset,clone_children\n",
		cgroup: "7:cpuset:/\n4:cpu,cpuacct:/app\n1:name=systemd:/init.scope\n",
		dirs: []string{
			"/sys/fs/cgroup/cpu,cpuacct/app", "/sys/fs/cgroup/cpu,cpuacct/only",
			"/sys/fs/cgroup/cpuset/app", "/sys/fs/cgroup/systemd/app", "/sys/fs/cgroup/stray",
		},
		links: map[string]string{"/sys/fs/cgroup/cpu": "cpu,cpuacct"},
	}
	hybrid = host{
		mountinfo: v1.mountinfo + "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
		cgroup:    v1.cgroup + "0::/init.scope\n",
		dirs:      append([]string{"/sys/fs/cgroup/unified/app"}, v1.dirs...),
	}
	// A container: part of the hierarchy bound to a place with a space in it.
	bind = host{
		mountinfo: rootMount +
			"31 20 0:28 /docker/c1 /my\\040cg rw master:1 - cgroup2 cgroup2 rw\n" +
			"32 20 0:29 / /my\\040cg/over rw - tmpfs tmpfs rw\n",
		cgroup: "0::/docker/c1\n",
		dirs:   []string{"/my cg/app", "/my cg/over/app"},
	}
	none = host{mountinfo: rootMount, cgroup: ""}
	// What other file systems write is not for us: 9p of WSL2 does not escape
	// the Windows path, an overlay may have hundreds of layers.
	foreign = host{
		mountinfo: rootMount +
			`90 20 0:60 / /mnt/onedrive rw,noatime - 9p C:\134OneDrive\040-\040Firm rw,aname=drvfs;path=C:\OneDrive - Firm;access=client` + "\n" +
			"91 20 0:61 / /mnt/blank rw - 9p a b - c rw - cgroup2 x rw\n" +
			"92 20 0:62 / /merged rw - overlay overlay rw,lowerdir=" + strings.Repeat("/var/lib/layers/l:", 8192) + "\n" +
			"not a mount\n\n93 20\n" +
			"31 20 0:28 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2  rw,nsdelegate\n", // an empty source
		cgroup: "0::/user.slice\n", dirs: v2.dirs,
	}
)

func (h host) build(t *testing.T) string {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range append([]string{"/proc/42"}, h.dirs...) {
		if err := os.MkdirAll(root+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for from, to := range h.links {
		if err := os.Symlink(to, root+from); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("42", root+"/proc/self"); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"mountinfo": h.mountinfo, "cgroup": h.cgroup} {
		if text == "" {
			continue // as on a kernel without CONFIG_CGROUPS
		}
		if err := os.WriteFile(root+"/proc/42/"+name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestFind(t *testing.T) {
	const cg = "/sys/fs/cgroup"
	tests := []struct {
		name, path string
		host       host
		want       string // "" for not found
		hierarchy  int
	}{
		{"v2 absolute", cg + "/app", v2, cg + "/app", 0},
		{"v2 as in /proc/PID/cgroup", "/user.slice/a", v2, cg + "/user.slice/a", 0},
		{"v2 relative", "user.slice/a/", v2, cg + "/user.slice/a", 0},
		{"v2 mount itself", cg, v2, cg, 0},
		{"v2 root", "/", v2, cg, 0},
		{"not a cgroup", "/home/app", v2, "", 0},
		{"no climbing out", "../../../home/app", v2, "", 0},
		{"beside foreign mounts", "/app", foreign, cg + "/app", 0},
		{"empty", "", v2, "", 0},
		{"unknown", "nope", v2, "", 0},
		{"v1 prefers cpuset", "app", v1, cg + "/cpuset/app", 7},
		{"v1 absolute", cg + "/cpu,cpuacct/app", v1, cg + "/cpu,cpuacct/app", 4},
		{"v1 named", cg + "/systemd/app", v1, cg + "/systemd/app", 1},
		{"v1 through systemd's link", cg + "/cpu/app", v1, cg + "/cpu,cpuacct/app", 4},
		{"v1 in one hierarchy only", "/only", v1, cg + "/cpu,cpuacct/only", 4},
		{"v1 tmpfs is no hierarchy", cg + "/stray", v1, "", 0},
		{"hybrid prefers v2", "/app", hybrid, cg + "/unified/app", 0},
		{"hybrid absolute v1", cg + "/cpuset/app", hybrid, cg + "/cpuset/app", 7},
		{"bind absolute", "/my cg/app", bind, "/my cg/app", 0},
		{"bind by its global name", "/docker/c1/app", bind, "/my cg/app", 0},
		{"bind relative", "app", bind, "/my cg/app", 0},
		{"covered by another mount", "/my cg/over/app", bind, "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := tt.host.build(t)
			d, err := Find(root, tt.path)
			if tt.want == "" {
				if !errors.Is(err, ErrNotFound) || strings.Contains(err.Error(), "\n") {
					t.Fatalf("Find(%q) = %+v, %v; want one line wrapping ErrNotFound", tt.path, d, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimPrefix(d.Path, root); got != tt.want || d.Hierarchy != tt.hierarchy {
				t.Errorf("Find(%q) = %s in hierarchy %d; want %s in %d", tt.path, got, d.Hierarchy, tt.want, tt.hierarchy)
			}
			if e, err := FindOrExpect(root, tt.path); err != nil || !cmp.Equal(e, d) {
				t.Errorf("FindOrExpect(%q) = %+v, %v; want %+v", tt.path, e, err, d)
			}
		})
	}
}

func TestFindOrExpect(t *testing.T) {
	const cg = "/sys/fs/cgroup"
	for _, tt := range []struct {
		name, path string
		host       host
		want       string // "" for not found
		hierarchy  int
	}{
		{"to come", cg + "/late.slice", v2, cg + "/late.slice", 0},
		{"with what is above it", cg + "/late.slice/db.service/x/", v2, cg + "/late.slice/db.service/x", 0},
		{"v1 through a link", cg + "/cpu/late/db", v1, cg + "/cpu,cpuacct/late/db", 4},
		{"v1 named", cg + "/systemd/late", v1, cg + "/systemd/late", 1},
		{"hybrid", cg + "/unified/late", hybrid, cg + "/unified/late", 0},
		{"of a hierarchy that nobody can tell", "/late.slice", v2, "", 0},
		{"relative", "late.slice", v2, "", 0},
		{"a program", "/home/app/server", v2, "", 0},
		{"below a file", cg + "/file/late", v2, "", 0},
		{"v1 tmpfs is no hierarchy", cg + "/late", v1, "", 0},
		{"covered by another mount", "/my cg/over/late", bind, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := tt.host.build(t)
			_ = os.WriteFile(root+cg+"/file", nil, 0o644) // where there is such a directory
			d, err := FindOrExpect(root, tt.path)
			if got := strings.TrimPrefix(d.Path, root); got != tt.want || d.Hierarchy != tt.hierarchy || (err == nil) != (tt.want != "") {
				t.Errorf("FindOrExpect(%q) = %s in hierarchy %d, %v; want %q in %d", tt.path, got, d.Hierarchy, err, tt.want, tt.hierarchy)
			}
			if err != nil && (!errors.Is(err, ErrNotFound) || strings.Contains(err.Error(), "\n")) {
				t.Errorf("%v: want one line wrapping ErrNotFound", err)
			}
		})
	}
}

func TestFindNotMounted(t *testing.T) {
	if _, err := Find(none.build(t), "x"); !errors.Is(err, ErrNotMounted) {
		t.Errorf("err = %v, want ErrNotMounted", err)
	}
}

func TestMounts(t *testing.T) {
	root := v1.build(t)
	got, err := Mounts(root)
	if err != nil {
		t.Fatal(err)
	}
	cg := root + "/sys/fs/cgroup/"
	want := []Mount{
		{Point: cg + "cpu,cpuacct", Root: "/", Hierarchy: 4, Controllers: []string{"cpu", "cpuacct"}},
		{Point: cg + "systemd", Root: "/", Hierarchy: 1, Name: "systemd"},
		{Point: cg + "cpuset", Root: "/", Hierarchy: 7, Controllers: []string{"cpuset"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Mounts (-want +got):\n%s", diff)
	}
}

func TestMountDir(t *testing.T) {
	tests := []struct {
		root, path, want string
		shown            bool
	}{
		{"/", "/a/b", "/m/a/b", true},
		{"/", "/", "/m", true},
		{"/", "/../x", "", false},
		{"/d/c", "/d/c", "/m", true},
		{"/d/c", "/d/c/x", "/m/x", true},
		{"/d/c", "/d/cx", "", false},
		{"/d/c", "/", "", false},
	}
	for _, tt := range tests {
		m := Mount{Point: "/m", Root: tt.root}
		if got, shown := m.Dir(tt.path); shown != tt.shown || shown && got != tt.want {
			t.Errorf("Dir(%q) below %q = %q, %v; want %q, %v", tt.path, tt.root, got, shown, tt.want, tt.shown)
		}
	}
}

func TestDefaultHierarchy(t *testing.T) {
	tests := []struct {
		name string
		host host
		want int
		err  error
	}{
		{"v2", v2, 0, nil}, {"v1", v1, 7, nil}, {"hybrid", hybrid, 7, nil}, {"bind", bind, 0, nil},
		{"none", none, 0, ErrNotMounted}, {"foreign", foreign, 0, nil},
	}
	for _, tt := range tests {
		if got, err := DefaultHierarchy(tt.host.build(t)); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: %d, %v; want %d, %v", tt.name, got, err, tt.want, tt.err)
		}
	}
}

func TestMalformed(t *testing.T) {
	for _, h := range []host{
		{mountinfo: rootMount + "31 20 0:28 / - cgroup2 cgroup2 rw\n", cgroup: "0::/\n"},
		{mountinfo: rootMount + "31 20 0:28 / /sys/fs/cgroup rw - cgroup2\n", cgroup: "0::/\n"},
		{mountinfo: rootMount, cgroup: "x:cpuset:/\n"},
		{mountinfo: rootMount, cgroup: "0\n"},
	} {
		if _, err := Mounts(h.build(t)); err == nil {
			t.Errorf("mountinfo %q, cgroup %q: no error", h.mountinfo, h.cgroup)
		}
	}
	if _, err := Mounts(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no /proc: err = %v", err)
	}
}

// TestRealHost asks the running kernel: every hierarchy of this process must
// be mounted where Find says, and a cgroup made there must be found.
func TestRealHost(t *testing.T) {
	mounts, err := Mounts("/")
	if err != nil {
		t.Fatal(err)
	}
	if len(mounts) == 0 {
		t.Skip("no cgroup hierarchy is mounted here")
	}
	def, err := DefaultHierarchy("/")
	if err != nil {
		t.Fatal(err)
	}
	if unified := cgroups.Mode() == cgroups.Unified; unified && def != 0 {
		t.Errorf("a unified host by containerd/cgroups, but the default hierarchy is %d", def)
	}
	for _, m := range mounts {
		d, err := Find("/", m.Point)
		if err != nil {
			t.Errorf("%s: %v", m.Point, err)
		} else if d.Hierarchy != m.Hierarchy || d.Path != m.Point {
			t.Errorf("Find(%s) = %+v", m.Point, d)
		}
	}
	for _, m := range mounts {
		if m.Hierarchy != def {
			continue
		}
		dir, err := os.MkdirTemp(m.Point, "mllb-test-")
		if err != nil {
			t.Skipf("cannot make a cgroup: %v", err)
		}
		defer os.Remove(dir)
		for _, path := range []string{dir, "/" + filepath.Base(dir), filepath.Base(dir)} {
			if d, err := Find("/", path); err != nil || d.Path != dir {
				t.Errorf("Find(%q) = %q, %v; want %q", path, d.Path, err, dir)
			}
		}
		d, _ := Find("/", dir)
		tree := NewTree(d)
		if err := errors.Join(tree.Refresh(), os.Remove(dir), os.Mkdir(dir, 0o755)); err != nil {
			t.Fatal(err)
		}
		before := tree.Top()
		if err := tree.Refresh(); err != nil || tree.Top() == 0 || tree.Top() == before || !tree.Has(tree.Top()) {
			t.Errorf("%s made anew: %v, %d and before %d", dir, err, tree.Top(), before)
		}
	}
}

// FuzzMountInfo puts what a file system may write behind the separator, and
// before it what the kernel does.
func FuzzMountInfo(f *testing.F) {
	f.Add("/", "/sys/fs/cgroup", "shared:4 master:1 ", "cgroup2 cgroup2 rw")
	f.Add("/a b", "/m - n", "", "9p C: rw,path=a - cgroup b - c")
	f.Add("/", "/", "", "")
	mangle := strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`, "#", `\043`)
	f.Fuzz(func(t *testing.T, root, point, optional, rest string) {
		line := fmt.Sprintf("31 20 0:28 %s %s rw %s- %s", mangle.Replace(root), mangle.Replace(point), optional, rest)
		m, ok := parseMountInfo(line)
		if strings.Contains(" "+optional, " - ") || optional != "" && !strings.HasSuffix(optional, " ") {
			return // not what the kernel writes: it must only not panic
		}
		if ok != (strings.Count(rest, " ") >= 2) {
			t.Fatalf("%q: read %v", line, ok)
		}
		if fsType, _, _ := strings.Cut(rest, " "); ok && (m.root != root || m.point != point || m.fsType != fsType) {
			t.Errorf("%q: %+v", line, m)
		}
	})
}

func FuzzUnescape(f *testing.F) {
	for _, s := range []string{`/a`, `/my\040cg`, `\134`, `\`, `\04`, `\999`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		// mangle is what the kernel does to the same name.
		mangle := strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`, "#", `\043`)
		if got := unescape(mangle.Replace(s)); got != s {
			t.Errorf("unescape(mangle(%q)) = %q", s, got)
		}
	})
}
