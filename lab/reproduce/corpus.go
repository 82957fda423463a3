// SPDX-License-Identifier: Apache-2.0

package reproduce

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"mllb/features"
	"mllb/internal/namedfile"
	"mllb/lab/record"
	"mllb/learn/dataset"
	"mllb/scheduler"
)

// corpus is all records, in groups.
type corpus struct {
	Groups  []group         `json:"groups"`
	Verdict dataset.Verdict `json:"verdict"` // of the rule's replay
}

// group is files of one kind.
type group struct {
	Name    string           `json:"name"`
	Kind    kind             `json:"kind"`
	Files   []string         `json:"files"`
	SHA256  string           `json:"sha256"` // of all files' sums in order
	Runs    int              `json:"runs"`
	Total   dataset.Labels   `json:"total"`
	Loads   []dataset.Labels `json:"loads"`
	Kernels []string         `json:"kernels"`
	Shapes  []string         `json:"shapes"`
	Seeds   []uint64         `json:"seeds"`
	Calls   dataset.Counters `json:"calls"`
}

type kind int

const (
	paperKind kind = iota // the paper's loads, the kernel as it comes
	diverseKind
	laterKind // of a later kernel: judged, never learned from
)

// files returns the files of all groups of some kinds.
func (c *corpus) files(kinds ...kind) (all []string) {
	for _, g := range c.Groups {
		if slices.Contains(kinds, g.Kind) {
			all = append(all, g.Files...)
		}
	}
	return all
}

// check sorts the files into groups and replays the kernel's rule on each
// record: records that the rule does not explain are none to learn from.
func (s *session) check(ctx context.Context) error {
	paths := s.cfg.Data
	for _, r := range s.found {
		for _, f := range r.Files {
			paths = append(paths, filepath.Join(s.cfg.Dir, f))
		}
	}
	sums := make(map[string]string)
	for _, p := range paths {
		sum, err := fileSum(p)
		if err != nil {
			return err
		}
		sums[p] = sum
	}
	var err error
	s.corpus, err = once(s, "check", sums, nil, func() (corpus, error) { return s.checkNow(ctx, paths, sums) })
	return err
}

func fileSum(path string) (string, error) {
	f, err := namedfile.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}

func (s *session) checkNow(ctx context.Context, paths []string, sums map[string]string) (c corpus, err error) {
	for _, p := range paths {
		name, kind, err := classify(p)
		if err != nil {
			return c, err
		}
		at := slices.IndexFunc(c.Groups, func(g group) bool { return g.Name == name })
		if at < 0 {
			at, c.Groups = len(c.Groups), append(c.Groups, group{Name: name, Kind: kind})
		}
		c.Groups[at].Files = append(c.Groups[at].Files, p)
	}
	slices.SortStableFunc(c.Groups, func(a, b group) int { // 56 CPUs before 16
		return cmp.Or(int(a.Kind-b.Kind), strings.Compare(b.Name, a.Name))
	})
	sets, err := studySets()
	if err != nil {
		return c, err
	}
	for i := range c.Groups {
		s.progress.tell(float64(i)/float64(len(c.Groups)+2), "%s", c.Groups[i].Name)
		if err := c.Groups[i].summarize(ctx, sums, sets[0]); err != nil {
			return c, err
		}
	}
	if len(c.files(paperKind, diverseKind)) == 0 {
		return c, fmt.Errorf("none of the %d files is of kernel %s", len(paths), Series)
	}
	rule := scheduler.CFS{}
	v, err := dataset.Check(ctx, io.Discard, func(d *features.Decision) bool { return rule.Decide(d).Migrate },
		explain, 0, paths...)
	if err != nil {
		return c, err
	}
	c.Verdict = *v
	return c, nil
}

// explain tries what is known of the rules of later kernels.
func explain(r *dataset.Row) string {
	if !strings.HasPrefix(r.Run.Kernel, Series+".") && (scheduler.CFS{TiesNeutral: true}).Decide(&r.Decision).Migrate == r.Migrate {
		return "equal NUMA weights, which that kernel treats as neutral"
	}
	return ""
}

// release is the first word of what names a kernel, as uname -r has it.
func release(kernel string) string {
	name, _, _ := strings.Cut(kernel, " ")
	return name
}

// classify names the group of a file by what its runs say of themselves.
func classify(path string) (string, kind, error) {
	r, err := dataset.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer r.Close()
	runs := r.Meta().Runs
	if len(runs) == 0 {
		return "", 0, fmt.Errorf("%s: has no run in its metadata", path)
	}
	if k := release(runs[0].Kernel); !strings.HasPrefix(k, Series+".") {
		return "Linux " + k, laterKind, nil
	}
	for _, run := range runs {
		if run.Tag != record.Stressors || run.Topology != runs[0].Topology {
			return "diverse loads", diverseKind, nil
		}
	}
	cpus, _, _ := strings.Cut(runs[0].Topology, ",")
	return "the paper's loads, " + cpus, paperKind, nil
}

// summarize fills in what a reader wants to know of the group.
func (g *group) summarize(ctx context.Context, sums map[string]string, set *features.Set) error {
	sum, err := dataset.Summarize(ctx, set, g.Files...)
	if err != nil {
		return err
	}
	g.Total, g.Loads, g.Runs = sum.Total, sum.ByLoad, len(sum.Runs)
	slices.SortFunc(g.Loads, func(a, b dataset.Labels) int { // numbers, as a rule
		return cmp.Or(len(a.Name)-len(b.Name), strings.Compare(a.Name, b.Name))
	})
	for _, r := range sum.Runs {
		g.Kernels, g.Shapes, g.Seeds = add(g.Kernels, r.Kernel), add(g.Shapes, r.Topology), add(g.Seeds, r.Seed)
		g.Calls.Calls += r.Counters.Calls
		g.Calls.Records += r.Counters.Records
		g.Calls.Filtered += r.Counters.Filtered
		g.Calls.Drops += r.Counters.Drops
	}
	h := sha256.New()
	for _, f := range g.Files {
		io.WriteString(h, sums[f]) // a hash takes all
	}
	g.SHA256 = fmt.Sprintf("%x", h.Sum(nil))
	return nil
}

// add appends what a list lacks.
func add[T comparable](list []T, x T) []T {
	if slices.Contains(list, x) {
		return list
	}
	return append(list, x)
}
