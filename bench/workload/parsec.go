// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// program is one of PARSEC 3.0's that the paper ran. They are run as parsecmgmt
// would, by the suite's run configurations and inputs, but without it: what it
// does before and after a run would be part of the time.
type program struct {
	group, name, help string
	config            string // of a build with threads
	inputs            bool   // it reads files
	outputs           []string
	result            func(dir string, args []string, stdout string) (string, error)
}

// PARSEC's own defaults here are the paper's.
const (
	parsecThreads = 80
	parsecInput   = "native"
)

var programs = []program{
	{"apps", "blackscholes", "prices options; equal parts", "gcc-pthreads", true, []string{"prices.txt"}, pricesOf},
	{"apps", "ferret", "similar images; a pipeline", "gcc-pthreads", true, []string{"output.txt"}, queriesOf},
	{"apps", "freqmine", "frequent item sets; OpenMP", "gcc-openmp", true, nil, itemsetsOf},
	{"apps", "swaptions", "prices swaptions; equal parts", "gcc-pthreads", false, nil, swaptionsOf},
	{"kernels", "dedup", "compresses a stream; a pipeline", "gcc-pthreads", true, []string{"output.dat.ddp"}, streamOf},
}

const parsecHow = "PARSEC 3.0 is at parsec.cs.princeton.edu and on mirrors; " +
	"build it with its bin/parsecmgmt and name its directory with --parsec"

// command finds the program, its configuration and its input in the tree.
func (p program) command(o Options) (*Command, error) {
	if o.Parsec == "" {
		return nil, &Missing{"PARSEC", parsecHow}
	}
	threads, input := o.Threads, o.Input
	if threads == 0 {
		threads = parsecThreads
	}
	if input == "" {
		input = parsecInput
	}
	tree, err := filepath.Abs(o.Parsec)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(tree, "pkgs")); err != nil {
		return nil, fmt.Errorf("%s is not a PARSEC tree: %w", o.Parsec, err)
	}
	pkg := filepath.Join(tree, "pkgs", p.group, p.name)
	conf, err := p.configuration(pkg, input, map[string]string{"NTHREADS": strconv.Itoa(threads), "PARSECDIR": tree})
	if err != nil {
		return nil, err
	}
	if n := swaptionsIn(conf.args); p.name == "swaptions" && n < threads {
		return nil, &Missing{fmt.Sprintf("work for %d threads", threads), fmt.Sprintf("input %s has only %d swaptions; choose a larger input or fewer threads", input, n)}
	}
	binary, err := p.binary(pkg, conf.exec)
	if err != nil {
		return nil, err
	}
	dir, err := p.unpack(pkg, input, threads, o.Scratch)
	if err != nil {
		return nil, err
	}
	clean := func() error { return removeAll(dir, p.outputs) }
	return &Command{
		Name: p.name, Threads: threads, Dir: dir, Env: conf.env, Clean: clean,
		Argv:  slices.Concat(merged, []string{binary}, conf.args),
		Check: p.check(dir, conf.args),
	}, clean()
}

// configuration reads the one for an input size.
func (p program) configuration(pkg, input string, vars map[string]string) (runconf, error) {
	path := filepath.Join(pkg, "parsec", input+".runconf")
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) || !filepath.IsLocal(input) {
		return runconf{}, fmt.Errorf("input %q is not one of %s", input, strings.Join(names(filepath.Join(pkg, "parsec"), "", ".runconf"), ", "))
	}
	if err != nil {
		return runconf{}, err
	}
	defer f.Close()
	c, err := parseRunconf(f, vars)
	if err != nil {
		return runconf{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// binary finds a build that has threads: inst/PLATFORM.CONFIG/bin/NAME.
func (p program) binary(pkg, exec string) (string, error) {
	builds, err := filepath.Glob(filepath.Join(pkg, "inst", "*", exec))
	if err != nil {
		return "", err
	}
	builds = slices.DeleteFunc(builds, func(path string) bool {
		info, err := os.Stat(path)
		return err != nil || info.Mode()&0o111 == 0 || strings.Contains(build(path, exec), "serial")
	})
	if len(builds) == 0 {
		return "", &Missing{"a build of " + p.name, fmt.Sprintf("in %s, bin/parsecmgmt -a build -p %s -c %s", pkg[:strings.LastIndex(pkg, "/pkgs/")], p.name, p.config)}
	}
	// The paper's before what else there may be: hooks, tbb.
	for _, suffix := range []string{"." + p.config, ".gcc"} {
		for _, path := range builds {
			if strings.HasSuffix(build(path, exec), suffix) {
				return path, nil
			}
		}
	}
	return builds[0], nil
}

// build is the name of a build's folder, PLATFORM.CONFIG.
func build(path, exec string) string {
	return filepath.Base(strings.TrimSuffix(path, string(filepath.Separator)+filepath.Clean(exec)))
}

// names are those of a directory's files with a prefix and a suffix, less both.
func names(dir, prefix, suffix string) []string {
	entries, _ := os.ReadDir(dir) // none is an answer too
	var all []string
	for _, e := range entries {
		if rest, ok := strings.CutPrefix(e.Name(), prefix); ok && strings.HasSuffix(rest, suffix) {
			all = append(all, strings.TrimSuffix(rest, suffix))
		}
	}
	return all
}

func removeAll(dir string, files []string) error {
	var errs []error
	for _, name := range files {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
