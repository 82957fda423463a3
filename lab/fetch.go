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
	"strings"
	"time"
)

// source says which package holds a kernel series.
type source struct {
	search  string         // for apt-cache search --names-only
	pattern *regexp.Regexp // the one flavour wanted
	suite   string         // "": the host's own suites
}

// Both flavours have BTF, NUMA balancing, schedstats and virtio-console built
// in. Debian drops old versions, so the newest of a series is resolved when it
// is fetched.
var sources = map[string]source{
	"6.12": {`^linux-image-6\.12\.`, regexp.MustCompile(`^linux-image-6\.12\.[^-]+-amd64-unsigned$`), ""},
	"7.2":  {`^linux-binary-7\.2\.`, regexp.MustCompile(`^linux-binary-7\.2\.[^-]+-cloud-amd64$`), "sid"},
}

// Series are the kernel series that Fetch knows, oldest first.
func Series() []string { return keys(sources) }

// Fetch gets the newest kernel of a series from Debian's packages into the
// cache, without installing anything. An older one of that series is replaced.
func Fetch(ctx context.Context, cache, series string, notice func(string)) (Kernel, error) {
	src, ok := sources[series]
	if !ok {
		return Kernel{}, fmt.Errorf("%w %q: want one of %s", ErrNoKernel, series, strings.Join(Series(), ", "))
	}
	for _, tool := range []string{"apt-get", "apt-cache", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return Kernel{}, fmt.Errorf("%s is missing: kernels come from Debian's packages; on another system use --kernel PATH", tool)
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
	return "", errors.New("apt knows no Debian mirror to find " + suite + " on: add one to its sources and run apt-get update")
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

// install takes the kernel image out of the package: the modules, the other
// 95 % of it, are of no use without a disk.
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
	k.SHA256, err = extract(pipe, k.Path)
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
	return os.WriteFile(filepath.Join(dir, kernelRecord), append(b, '\n'), 0o644)
}

// extract writes the first kernel image of a tar stream to file, whole or not
// at all, and returns its digest.
func extract(r io.Reader, file string) (digest string, err error) {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return "", errors.New("no kernel image in the package")
		} else if err != nil {
			return "", err
		}
		name := path.Clean(h.Name)
		boot, _ := path.Match("boot/vmlinuz-*", name)
		lib, _ := path.Match("usr/lib/modules/*/vmlinuz", name)
		if h.Typeflag == tar.TypeReg && (boot || lib) {
			break
		}
	}
	f, err := os.Create(file + ".new")
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, sum), t)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return hex.EncodeToString(sum.Sum(nil)), os.Rename(f.Name(), file)
}
