// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"mllb/internal/namedfile"
)

// KernelPackages are those whose tests need a kernel to say anything.
var KernelPackages = []string{
	"topology", "features", "features/procfs", "features/bpf", "features/trace", "affinity", "scheduler", "scx", "bench/measure", "learn/collect", "cmd/mllbd",
}

// guestSource mirrors the module in the guest: its fixtures, not its sources.
const guestSource = "/src"

// Suite runs the module's tests in guests: one guest for each package on each
// kernel, so that a guest that dies or is left changed costs one package.
type Suite struct {
	Root     string // of the module
	Cache    string // for the test binaries
	Packages []string
	Kernels  []Kernel
	Guest    Config // shape, accelerator, files; Timeout is that of a package
	Guests   int    // to run at once; below 1: 1
	Tries    int    // guests to start when one oopses or hangs
	Retries  int    // times that what did not pass is run again
	Short    bool
	Run      string        // -test.run; "": all
	Logs     string        // directory for the full outputs
	Report   func(Package) // called after each package, by one at a time
}

// Package is what a package's tests did on one kernel.
type Package struct {
	Kernel  string // uname -r
	Package string
	Tests   []TestOutcome
	Retries int      // times that what had not passed was run again, in fresh guests
	Died    int      // guests that oopsed or hung and were replaced
	Stalls  int      // lockups and stalls that the console reported
	Err     error    // nil: the tests ran to their end and none failed, or only until it was run again
	Tail    []string // the last lines of output
	Wall    time.Duration
}

// Count is the number of tests and subtests with that verdict.
func (p Package) Count(verdict string) int {
	n := 0
	for _, t := range p.Tests {
		if t.Verdict == verdict {
			n++
		}
	}
	return n
}

// All runs everything and returns what came of it, in the order in which packages
// ended; an error is the suite's own, such as a package that does not compile.
func (s Suite) All(ctx context.Context) ([]Package, error) {
	bins := map[string]string{}
	for _, pkg := range s.Packages {
		bin := filepath.Join(s.Cache, "tests", strings.ReplaceAll(pkg, "/", "-")+".test")
		if err := os.Remove(bin); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err := goBuild(ctx, s.Root, "test", "-c", "-o", bin, "./"+pkg); err != nil {
			return nil, err
		}
		if isFile(bin) { // go test -c makes none where there are no tests
			bins[pkg] = bin
		}
	}
	fixtures := fixtures(s.Root, s.Packages)
	var all []Package
	var reporting sync.Mutex
	guests, ctx := errgroup.WithContext(ctx)
	guests.SetLimit(max(1, s.Guests))
	for _, pkg := range s.Packages { // on all kernels at a time: none is left for the end
		for _, k := range s.Kernels {
			if bins[pkg] == "" {
				continue
			}
			guests.Go(func() error {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				p, err := s.one(ctx, k, pkg, append([]File{{Host: bins[pkg], Guest: path.Join("/bin", filepath.Base(bins[pkg]))}}, fixtures...))
				if err != nil {
					return err
				}
				reporting.Lock()
				defer reporting.Unlock()
				s.Report(p)
				all = append(all, p)
				return nil
			})
		}
	}
	err := guests.Wait()
	return all, err
}

// one runs a package's tests, and what did not pass again.
func (s Suite) one(ctx context.Context, k Kernel, pkg string, files []File) (Package, error) {
	file, err := createLog(s.Logs, k.Release, pkg)
	if err != nil {
		return Package{}, err
	}
	defer file.Close()
	start := time.Now()
	cfg := s.config(k, pkg, files)
	p, err := s.try(ctx, cfg, file)
	for err == nil && p.Retries < s.Retries && p.worthARetry() {
		p, err = s.again(ctx, cfg, file, p)
	}
	p.Kernel, p.Package, p.Wall = k.Release, pkg, time.Since(start)
	return p, err
}

// config is the guest in which a package's test binary, files[0], runs.
func (s Suite) config(k Kernel, pkg string, files []File) Config {
	cfg := s.Guest
	cfg.Kernel, cfg.Tries = k, 1
	cfg.Files = append(files, cfg.Files...)
	cfg.Dir = path.Join(guestSource, pkg)
	cfg.Args = []string{path.Base(files[0].Guest), "-test.v=test2json", "-test.paniconexit0"}
	if cfg.Timeout > 0 {
		// Before the guest's own limit, so that the tests can say where they are.
		cfg.Args = append(cfg.Args, fmt.Sprintf("-test.timeout=%v", cfg.Timeout*9/10))
	}
	if s.Short {
		cfg.Args = append(cfg.Args, "-test.short")
	}
	if s.Run != "" {
		cfg.Args = append(cfg.Args, "-test.run="+s.Run)
	}
	return cfg
}

// try runs the tests in fresh guests until one guest does not oops or hang.
func (s Suite) try(ctx context.Context, cfg Config, file io.Writer) (p Package, err error) {
	for ; ; p.Died++ {
		log := &testLog{}
		cfg.Stdout = io.MultiWriter(log, file)
		cfg.Stderr, cfg.Console = cfg.Stdout, file
		res, err := Run(ctx, cfg)
		p.Tests, p.Tail, p.Err, p.Stalls = log.end(), log.tail, err, len(res.Stalls)
		if p.Died+1 >= s.Tries || !errors.Is(err, ErrOops) && !errors.Is(err, ErrHung) {
			break
		}
	}
	if ctx.Err() != nil {
		return p, context.Cause(ctx)
	}
	var failed *ExitError
	var died *GuestError
	if p.Err != nil && !errors.As(p.Err, &failed) && !errors.As(p.Err, &died) {
		return p, p.Err
	}
	if p.Err == nil && p.Count(testFail) > 0 {
		p.Err = errors.New("tests failed, but the exit status is 0")
	}
	return p, nil
}

func createLog(dir, release, pkg string) (io.WriteCloser, error) {
	dir = filepath.Join(dir, release)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return namedfile.Log(filepath.Join(dir, strings.ReplaceAll(pkg, "/", "-")+".log"), os.O_TRUNC)
}

// fixtures are the files that tests may read at run time: what lies below the
// packages' top directories and is neither Go nor large, and go.mod.
func fixtures(root string, packages []string) []File {
	const large = 4 << 20
	files := []File{{Host: filepath.Join(root, "go.mod"), Guest: guestSource + "/go.mod"}}
	tops := map[string]bool{"mlp": true, "features": true} // the golden file, the default model and the fixture host, which others read
	for _, pkg := range packages {
		top, _, _ := strings.Cut(pkg, "/")
		tops[top] = true
	}
	for _, top := range keys(tops) {
		files = append(files, File{
			Host: filepath.Join(root, top), Guest: path.Join(guestSource, top),
			skip: func(info fs.FileInfo) bool {
				return info.Mode().IsRegular() && (strings.HasSuffix(info.Name(), ".go") || info.Size() > large)
			},
		})
	}
	return files
}
