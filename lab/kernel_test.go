// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func fakeImage(release string) []byte {
	b := make([]byte, 0x400)
	copy(b[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(b[0x20e:], 0x100)
	copy(b[0x300:], release+" (builder) #1 SMP")
	return b
}

func TestFindKernel(t *testing.T) {
	cache := t.TempDir()
	write := func(name string, b []byte) string {
		file := filepath.Join(cache, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	image := write("own/bzImage", fakeImage("6.12.117+deb12-amd64"))
	if k, err := FindKernel(cache, image); err != nil || k.Release != "6.12.117+deb12-amd64" || k.Path != image {
		t.Errorf("by path: %+v, %v", k, err)
	}
	if _, err := FindKernel(cache, "6.12"); !errors.Is(err, ErrNoKernel) || !strings.Contains(err.Error(), "mllb lab fetch 6.12") {
		t.Errorf("not fetched: %v", err)
	}
	write("kernels/6.12/kernel.json", []byte(`{"release":"6.12.1","version":"6.12.1-1"}`))
	if _, err := FindKernel(cache, "6.12"); !errors.Is(err, ErrNoKernel) {
		t.Errorf("record without an image: %v", err)
	}
	write("kernels/6.12/vmlinuz", fakeImage("6.12.1"))
	if k, err := FindKernel(cache, "6.12"); err != nil || k.Version != "6.12.1-1" || filepath.Base(k.Path) != "vmlinuz" {
		t.Errorf("fetched: %+v, %v", k, err)
	}
	write("kernels/6.12/kernel.json", []byte(`{`))
	if _, err := FindKernel(cache, "6.12"); err == nil {
		t.Error("a damaged record was read")
	}
	for _, name := range []string{"5.4", "", "/none", write("short", []byte("HdrS")), write("text", make([]byte, 0x1000))} {
		if k, err := FindKernel(cache, name); !errors.Is(err, ErrNoKernel) {
			t.Errorf("%q: %+v, %v", name, k, err)
		}
	}
}

func TestSourceLine(t *testing.T) {
	const unset = "$(SIGNED_BY)"
	tests := []struct{ targets, want string }{
		{"Other\tOther\thttp://a/\t" + unset + "\nDebian\tDebian-Security\thttp://m/s/\t" + unset + "\nDebian\tDebian\thttp://m/debian/\t" + unset + "\n",
			"deb [arch=amd64] http://m/debian/ sid main\n"},
		{"Debian\tDebian\thttp://m/debian/\t/usr/share/keyrings/d.gpg\n",
			"deb [arch=amd64 signed-by=/usr/share/keyrings/d.gpg] http://m/debian/ sid main\n"},
	}
	for _, tt := range tests {
		if got, err := sourceLine(tt.targets, "sid"); err != nil || got != tt.want {
			t.Errorf("got %q, %v; want %q", got, err, tt.want)
		}
	}
	for _, targets := range []string{"", "Debian\n", "Ubuntu\tUbuntu\thttp://u/\tx\n"} {
		if got, err := sourceLine(targets, "sid"); err == nil {
			t.Errorf("%q gave %q", targets, got)
		}
	}
}

func TestPackageChoice(t *testing.T) {
	names := []string{
		"linux-image-6.12.99+deb12-amd64-unsigned", "linux-image-6.12.117+deb12-amd64-unsigned",
		"linux-image-6.12.118+deb12-cloud-amd64-unsigned", "linux-image-6.12.119+deb12-rt-amd64-unsigned",
		"linux-image-6.12.9+deb12-amd64-unsigned", "linux-image-6.12.200+deb12-amd64-unsigned-dbg",
	}
	best := ""
	for _, n := range names {
		if sources["6.12"].pattern.MatchString(n) && (best == "" || naturalLess(best, n)) {
			best = n
		}
	}
	if best != names[1] {
		t.Errorf("chose %s", best)
	}
	if !sources["7.2"].pattern.MatchString("linux-binary-7.2.13+deb14-cloud-amd64") {
		t.Error("7.2 does not match its own package")
	}
	for _, p := range [][2]string{{"a", "b"}, {"a2", "a10"}, {"a", "a1"}, {"a1-1", "a1-2"}, {"a01b", "a2"}} {
		if !naturalLess(p[0], p[1]) || naturalLess(p[1], p[0]) {
			t.Errorf("%s and %s", p[0], p[1])
		}
	}
}

func TestExtract(t *testing.T) {
	file := filepath.Join(t.TempDir(), "vmlinuz")
	h := func(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeReg} }
	for _, name := range []string{"./boot/vmlinuz-6.12", "./usr/lib/modules/7.2/vmlinuz"} {
		b := tarHeaders(t, []tar.Header{h("./usr/share/doc/vmlinuz"), h(name)})
		if sum, err := (&Kernel{Path: file}).extract(t.Context(), bytes.NewReader(b)); err != nil || len(sum) != 64 {
			t.Errorf("%s: %q, %v", name, sum, err)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if _, err := (&Kernel{Path: file}).extract(t.Context(), bytes.NewReader(b[:len(b)-1600])); err == nil {
			t.Error("a package cut short gave a kernel")
		}
		if isFile(file) || isFile(file+".new") {
			t.Error("a package cut short left a kernel")
		}
	}
	if _, err := (&Kernel{Path: file}).extract(t.Context(), bytes.NewReader(tarHeaders(t, []tar.Header{h("./boot/config-6.12")}))); err == nil {
		t.Error("a package without a kernel")
	}
	with := tarHeaders(t, []tar.Header{h("./boot/vmlinuz-6.1"), h("./lib/modules/6.1/kernel/b.ko"), h("./lib/modules/6.1/kernel/c.ko"), h("./lib/modules/6.1/kernel/a.ko")})
	k := Kernel{Path: file, Modules: []string{"a.ko", "b.ko"}}
	if _, err := k.extract(t.Context(), bytes.NewReader(with)); err != nil || !isFile(k.beside("a.ko")) || !isFile(k.beside("b.ko")) || isFile(k.beside("c.ko")) {
		t.Errorf("modules: %v", err)
	}
	k.Modules = append(k.Modules, "d.ko")
	if _, err := k.extract(t.Context(), bytes.NewReader(with)); err == nil || !strings.Contains(err.Error(), "no d.ko in the package") {
		t.Errorf("a module is missing: %v", err)
	}
}

func TestFetchWithoutApt(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Fetch(context.Background(), t.TempDir(), "6.12", func(string) {})
	if err == nil || !strings.Contains(err.Error(), "apt-get is missing") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
	if _, err := Fetch(context.Background(), t.TempDir(), "4.4", nil); !errors.Is(err, ErrNoKernel) {
		t.Errorf("unknown series: %v", err)
	}
}
