// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"context"
	"fmt"

	"mllb/features"
	"mllb/mlp"
)

// Usable reports whether a network may learn from the row: every hard condition
// passed, so the answer is the locality rule's.
func (r *Row) Usable() bool { return r.Condition == features.Passed }

// Each calls visit with every row of the files, in order, and its number in
// its file. A row is valid until the next, except its run. It ends at the first
// error, also that of ctx.
func Each(ctx context.Context, paths []string, visit func(path string, n int64, r *Row) error) error {
	for _, path := range paths {
		if err := eachOf(ctx, path, visit); err != nil {
			return err
		}
	}
	return nil
}

func eachOf(ctx context.Context, path string, visit func(path string, n int64, r *Row) error) error {
	r, err := Open(path)
	if err != nil {
		return err
	}
	defer r.Close()
	var n int64
	for row, err := range r.Rows() {
		if err == nil && n&1023 == 0 {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if err := visit(path, n, row); err != nil {
			return err
		}
		n++
	}
	return nil
}

// metas returns what each file says of itself.
func metas(paths []string) ([]Meta, error) {
	ms := make([]Meta, len(paths))
	for i, path := range paths {
		r, err := Open(path)
		if err != nil {
			return nil, err
		}
		ms[i] = r.Meta()
		if err := r.Close(); err != nil {
			return nil, err
		}
	}
	return ms, nil
}

// Load returns the usable rows of the files as features of a set, to learn from
// or to judge with, and the runs that Data.Group counts.
func Load(ctx context.Context, set *features.Set, paths ...string) (*mlp.Data, []Run, error) {
	data := &mlp.Data{Set: set}
	var runs []Run
	groups := make(map[string]int32)
	err := Each(ctx, paths, func(_ string, _ int64, r *Row) error {
		if !r.Usable() {
			return nil
		}
		g, ok := groups[r.Run.ID]
		if !ok {
			g = int32(len(runs))
			groups[r.Run.ID] = g
			runs = append(runs, *r.Run)
		}
		data.Append(&r.Decision, label(r), g)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	return data, runs, nil
}

func label(r *Row) uint8 {
	if r.Migrate {
		return mlp.Migrate
	}
	return mlp.Stay
}

// Merge writes the rows of the files into one at path, in order, and returns how
// many. What is at path is replaced if force, else refused. Every run keeps its tags; one that two files have is refused,
// for its rows would count twice.
func Merge(ctx context.Context, path string, force bool, createdBy string, paths ...string) (int64, error) {
	ms, err := metas(paths)
	if err != nil {
		return 0, err
	}
	all := Meta{CreatedBy: createdBy, FeatureSets: setNames()}
	from := make(map[string]string)
	for i, m := range ms {
		for _, run := range m.Runs {
			if other, twice := from[run.ID]; twice {
				return 0, fmt.Errorf("merge: run %q is in both %s and %s", run.ID, other, paths[i])
			}
			from[run.ID] = paths[i]
			all.Runs = append(all.Runs, run)
		}
	}
	out, err := create(ctx, path, force, all, small)
	if err != nil {
		return 0, err
	}
	err = Each(ctx, paths, func(_ string, _ int64, r *Row) error { return out.add(r) })
	if err != nil {
		out.abort()
		return 0, err
	}
	return out.n, out.commit(true)
}
