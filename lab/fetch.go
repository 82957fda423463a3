// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"mllb/internal/namedfile"
)

// source says which package holds a kernel series.
type source struct {
	search  string         // for apt-cache search --names-only
	pattern *regexp.Regexp // the one flavour wanted
	suite   string         // "": the host's own suites
	modules bool           // virtio is not built in
	only    bool           // by name only, not among the kernels that all tests run on
}

// All flavours have BTF, NUMA balancing and schedstats. Debian drops old versions,
// so the newest of a series is resolved when it is fetched. 6.1 is bookworm's own,
// the last long-term kernel that forgets what masks were asked for.
var sources = map[string]source{
	"6.1":  {search: `^linux-image-6\.1\.`, pattern: regexp.MustCompile(`^linux-image-6\.1\.0-[0-9]+-amd64-unsigned$`), suite: "bookworm", modules: true, only: true},
	"6.12": {search: `^linux-image-6\.12\.`, pattern: regexp.MustCompile(`^linux-image-6\.12\.[^-]+-amd64-unsigned$`)},
	"7.2":  {search: `^linux-binary-7\.2\.`, pattern: regexp.MustCompile(`^linux-binary-7\.2\.[^-]+-cloud-amd64$`), suite: "sid"},
}

// virtio are the modules of the guest's port to the host, each after those that it
// needs.
var virtio = []string{"virtio.ko", "virtio_ring.ko", "virtio_pci_legacy_dev.ko", "virtio_pci_modern_dev.ko", "virtio_pci.ko", "virtio_console.ko"}

// Series are the kernel series that tests run on, oldest first.
func Series() []string {
	return slices.DeleteFunc(keys(sources), func(name string) bool { return sources[name].only })
}

// Fetch gets the newest kernel of a series from Debian's packages into the
// cache, without installing anything. An older one of that series is replaced.
func Fetch(ctx context.Context, cache, series string, notice func(string)) (Kernel, error) {
	src, ok := sources[series]
	if !ok {
		return Kernel{}, fmt.Errorf("%w %q: want one of %s", ErrNoKernel, series, strings.Join(keys(sources), ", "))
	}
	for _, tool := range []string{"apt-get", "apt-cache", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return Kernel{}, fmt.Errorf("%s is missing: kernels come from Debian packages; on other systems use --kernel PATH", tool)
		}
	}
	tmp, err := os.MkdirTemp("", "mllb-fetch-")
	if err != nil {
		return Kernel{}, fmt.Errorf("make a directory for the package: %w", err)
	}
	defer os.RemoveAll(tmp)
	a := apt{dir: tmp}
	if src.suite != "" {
		notice("reading the package lists of " + src.suite)
		if err := a.private(ctx, src.suite); err != nil {
			return Kernel{}, err
		}
	}
	name, err := a.newest(ctx, src)
	if err != nil {
		return Kernel{}, fmt.Errorf("%w %s: %w", ErrNoKernel, series, err)
	}
	notice("getting " + name)
	deb, err := a.download(ctx, name)
	if err != nil {
		return Kernel{}, err
	}
	version, err := output(ctx, tmp, "dpkg-deb", "--field", deb, "Version")
	if err != nil {
		return Kernel{}, err
	}
	k := Kernel{Series: series, Package: name, Version: strings.TrimSpace(string(version)), Obtained: time.Now().UTC().Truncate(time.Second)}
	if src.modules {
		k.Modules = virtio
	}
	return k, k.install(ctx, deb, filepath.Join(cache, "kernels", series))
}

// apt runs apt-get in dir, with the host's sources or, after private, with its
// own.
type apt struct {
	dir  string
	opts []string
}

// private sets up lists of one suite from the mirror that the host's apt
// already uses, beside the host's and without changing them.
func (a *apt) private(ctx context.Context, suite string) error {
	out, err := output(ctx, a.dir, "apt-get", "indextargets", "--format", "$(ORIGIN)\t$(LABEL)\t$(REPO_URI)\t$(SIGNED_BY)", "Created-By: Packages")
	if err != nil {
		return err
	}
	line, err := sourceLine(string(out), suite)
	if err != nil {
		return err
	}
	list := filepath.Join(a.dir, "sources.list")
	if err := os.WriteFile(list, []byte(line), 0o644); err != nil {
		return err
	}
	for _, dir := range []string{"state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(a.dir, dir), 0o755); err != nil {
			return err
		}
	}
	for _, opt := range []string{
		"Dir::Etc::sourcelist=" + list, "Dir::Etc::sourceparts=/dev/null",
		"Dir::State=" + a.dir + "/state", "Dir::State::status=/var/lib/dpkg/status",
		"Dir::Cache=" + a.dir + "/cache", "Acquire::Languages=none",
		"APT::Sandbox::User=", // its own user could not write below our 0700 directory
	} {
		a.opts = append(a.opts, "-o", opt)
	}
	_, err = a.run(ctx, "apt-get", "-qq", "update")
	return err
}

// sourceLine makes a sources.list(5) line for the suite from what `apt-get
// indextargets` says of the host's Debian mirror and its keyring.
func sourceLine(targets, suite string) (string, error) {
	for line := range strings.Lines(targets) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 4 || f[0] != "Debian" || f[1] != "Debian" {
			continue
		}
		options := "[arch=amd64]"
		// apt leaves a field as it stands where it has no value.
		if f[3] != "" && !strings.Contains(f[3], "$(") {
			options = fmt.Sprintf("[arch=amd64 signed-by=%s]", strings.ReplaceAll(f[3], " ", ""))
		}
		return fmt.Sprintf("deb %s %s %s main\n", options, f[2], suite), nil
	}
	return "", errors.New("apt has no Debian mirror with " + suite + ": add one to its sources and run apt-get update")
}

// newest finds the package with the highest version in its name.
func (a *apt) newest(ctx context.Context, src source) (string, error) {
	out, err := a.run(ctx, "apt-cache", "search", "--names-only", src.search)
	if err != nil {
		return "", err
	}
	best := ""
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(line, " ")
		if src.pattern.MatchString(name) && (best == "" || naturalLess(best, name)) {
			best = name
		}
	}
	if best == "" {
		return "", fmt.Errorf("no package matches %s; run apt-get update and try again", src.pattern)
	}
	return best, nil
}

// naturalLess orders names by the numbers in them: 6.12.99 before 6.12.117.
func naturalLess(a, b string) bool {
	for a != "" && b != "" {
		x, y := leadingDigits(a), leadingDigits(b)
		if x > 0 && y > 0 {
			m, n := strings.TrimLeft(a[:x], "0"), strings.TrimLeft(b[:y], "0")
			if len(m) != len(n) {
				return len(m) < len(n)
			}
			if m != n {
				return m < n
			}
			a, b = a[x:], b[y:]
			continue
		}
		if a[0] != b[0] {
			return a[0] < b[0]
		}
		a, b = a[1:], b[1:]
	}
	return len(a) < len(b)
}

func leadingDigits(s string) int {
	return len(s) - len(strings.TrimLeft(s, "0123456789"))
}

func (a *apt) download(ctx context.Context, name string) (string, error) {
	if _, err := a.run(ctx, "apt-get", "-qq", "download", name); err != nil {
		return "", err
	}
	debs, err := filepath.Glob(filepath.Join(a.dir, name+"_*.deb"))
	if err != nil || len(debs) != 1 {
		return "", fmt.Errorf("apt-get download %s left %d packages, want 1 (%v)", name, len(debs), err)
	}
	return debs[0], nil
}

func (a *apt) run(ctx context.Context, tool string, args ...string) ([]byte, error) {
	return output(ctx, a.dir, tool, append(append([]string{}, a.opts...), args...)...)
}

func output(ctx context.Context, dir, tool string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) && len(failed.Stderr) > 0 {
		lines := strings.Split(strings.TrimSpace(string(failed.Stderr)), "\n")
		return nil, fmt.Errorf("%s: %s", tool, lines[len(lines)-1])
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", tool, strings.Join(args, " "), err)
	}
	return out, nil
}

// install takes the kernel image out of the package, and the modules that the guest
// cannot do without: the others, 95 % of it, are of no use without a disk.
func (k *Kernel) install(ctx context.Context, deb, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	k.Path = filepath.Join(dir, kernelImage)
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb)
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("open %s: %w", k.Package, err)
	}
	k.SHA256, err = k.extract(ctx, pipe)
	// It is done when the image is out, or dies of a broken pipe.
	pipe.Close()
	_ = cmd.Wait()
	if err != nil {
		return fmt.Errorf("open %s: %w", k.Package, err)
	}
	if k.Release, err = imageRelease(k.Path); err != nil {
		return err
	}
	b, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return err
	}
	return namedfile.Write(ctx, filepath.Join(dir, kernelRecord), append(b, '\n'))
}

// extract writes the first kernel image of a tar stream and the modules wanted of
// what follows, each file whole or not at all. It returns the image's digest.
func (k *Kernel) extract(ctx context.Context, r io.Reader) (digest string, err error) {
	lack := slices.Clone(k.Modules)
	t := tar.NewReader(r)
	for digest == "" || len(lack) > 0 {
		h, err := t.Next()
		if errors.Is(err, io.EOF) && digest == "" {
			return "", errors.New("no kernel image in the package")
		} else if errors.Is(err, io.EOF) {
			return "", fmt.Errorf("no %s in the package", strings.Join(lack, ", "))
		} else if err != nil {
			return "", err
		}
		name := path.Clean(h.Name)
		boot, _ := path.Match("boot/vmlinuz-*", name)
		lib, _ := path.Match("usr/lib/modules/*/vmlinuz", name)
		i := slices.Index(lack, path.Base(name))
		switch {
		case h.Typeflag != tar.TypeReg:
		case digest == "" && (boot || lib):
			sum := sha256.New()
			if err := writeFrom(ctx, k.Path, io.TeeReader(t, sum)); err != nil {
				return "", err
			}
			digest = hex.EncodeToString(sum.Sum(nil))
		case i >= 0:
			if err := writeFrom(ctx, k.beside(lack[i]), t); err != nil {
				return "", err
			}
			lack = slices.Delete(lack, i, i+1)
		}
	}
	return digest, nil
}

func writeFrom(ctx context.Context, file string, r io.Reader) error {
	return namedfile.WriteWith(ctx, file, func(w io.Writer) error {
		_, err := io.Copy(w, r)
		return err
	})
}
