// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"mllb/features"
)

// Rule is what should have given a record's answer.
type Rule func(d *features.Decision) (migrate bool)

// Explanation names the known difference between the rule and that of the
// record's kernel which accounts for a disagreement, or nothing.
type Explanation func(r *Row) string

// Tally counts the usable records of one kernel, those that the rule answers
// differently, and of those the ones that nothing explains.
type Tally struct {
	Kernel      string `json:"kernel"`
	Usable      int64  `json:"usable"`
	Disagree    int64  `json:"disagree"`
	Unexplained int64  `json:"unexplained"`
}

// Class is a kind of disagreement.
type Class struct {
	Name  string `json:"class"`
	Count int64  `json:"count"`
}

// Verdict is what Check found.
type Verdict struct {
	Rows    int64   `json:"rows"`
	Kernels []Tally `json:"kernels"` // in the order of appearance
	Classes []Class `json:"classes"` // the most frequent first
}

// Check replays the rule on every usable record of the files and prints the
// first max disagreements to w.
func Check(ctx context.Context, w io.Writer, rule Rule, explain Explanation, max int, paths ...string) (*Verdict, error) {
	v := &Verdict{}
	kernels := make(map[string]int)
	classes := make(map[string]int64)
	err := Each(ctx, paths, func(path string, n int64, r *Row) error {
		v.Rows++
		if !r.Usable() {
			return nil
		}
		k, ok := kernels[r.Run.Kernel]
		if !ok {
			k = len(v.Kernels)
			kernels[r.Run.Kernel] = k
			v.Kernels = append(v.Kernels, Tally{Kernel: r.Run.Kernel})
		}
		v.Kernels[k].Usable++
		said := rule(&r.Decision)
		if said == r.Migrate {
			return nil
		}
		v.Kernels[k].Disagree++
		kind := class(r, said)
		if why := explain(r); why != "" {
			kind += ": " + why
		} else {
			v.Kernels[k].Unexplained++
		}
		classes[kind]++
		if max--; max < 0 {
			return nil
		}
		_, err := fmt.Fprintf(w, "%s row %d: kernel %s, rule %s\n%s", path, n, answer(r.Migrate), answer(said), Explain(r))
		return err
	})
	for name, n := range classes {
		v.Classes = append(v.Classes, Class{name, n})
	}
	slices.SortFunc(v.Classes, func(a, b Class) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Name, b.Name))
	})
	return v, err
}

func answer(migrate bool) string {
	if migrate {
		return "migrate"
	}
	return "stay"
}

// class names a disagreement by what the rule branches on.
func class(r *Row, said bool) string {
	parts := []string{
		fmt.Sprintf("kernel %s, rule %s", answer(r.Migrate), answer(said)),
		text(&r.DomainName), r.Idle.String(), prefers(&r.Decision),
	}
	for _, c := range []struct {
		is   bool
		name string
	}{
		{r.Delta < r.MigrationCost, "ran just now"},
		{r.NextBuddy, "next buddy"},
		{r.CookieMismatch, "other cookie"},
		{r.NrBalanceFailed > r.CacheNiceTries, "failed often"},
		{!r.Fair, "not fair"},
		{r.IdlePolicy, "SCHED_IDLE"},
	} {
		if c.is {
			parts = append(parts, c.name)
		}
	}
	return strings.Join(parts, " · ")
}

func prefers(d *features.Decision) string {
	switch {
	case !d.HasFaults || d.Domain&features.SDNUMA == 0:
		return "no NUMA"
	case d.PreferredNode == features.NoNode:
		return "prefers no node"
	case d.PreferredNode == d.SrcNode:
		return "prefers source"
	case d.PreferredNode == d.DstNode:
		return "prefers destination"
	}
	return "prefers another node"
}

func text(b *[16]byte) string { return string(escape(b)) }

// Explain tells a record in lines that a person reads, each indented.
func Explain(r *Row) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  %s (%d), last ran %v ago where %v is hot, from cpu %d node %d to cpu %d node %d\n",
		text(&r.Comm), r.TID, time.Duration(r.Delta), time.Duration(r.MigrationCost), r.SrcCPU, r.SrcNode, r.DstCPU, r.DstNode)
	fmt.Fprintf(&b, "  domain %s, destination %s, failed %d, nice tries %d; source %d running, %d of them prefer it; destination %d running\n",
		text(&r.DomainName), r.Idle, r.NrBalanceFailed, r.CacheNiceTries, r.SrcNrRunning, r.SrcNrPreferredRunning, r.DstNrRunning)
	if r.SrcSpeed|r.DstSpeed != 0 || r.SrcBusySiblings|r.DstBusySiblings != 0 {
		fmt.Fprintf(&b, "  speed of the source %d, of the destination %d (1024 fastest, 0 not known); busy siblings %d and %d\n",
			r.SrcSpeed, r.DstSpeed, r.SrcBusySiblings, r.DstBusySiblings)
	}
	var marks []string
	for i := range columns {
		if p, ok := columns[i].field(r).(*bool); ok && *p {
			marks = append(marks, columns[i].name)
		}
	}
	fmt.Fprintf(&b, "  prefers node %d, faults of the task %d of %d, of its group %d of %d\n  true: %s\n",
		r.PreferredNode, r.TaskFaults, r.TaskTotalFaults, r.GroupFaults, r.GroupTotalFaults, strings.Join(marks, " "))
	return b.String()
}
