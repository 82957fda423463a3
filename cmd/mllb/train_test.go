// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"mllb/features"
	"mllb/learn/dataset"
	"mllb/mlp"
	"mllb/scheduler"
)

// TestTrainScripts are sessions with runs.parquet, eight runs at four loads
// that the kernel's rule labelled; onelabel.parquet, where it always says
// "migrate"; and unusable.parquet, where it was never asked.
func TestTrainScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/train", UpdateScripts: *update, RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			for name, fill := range map[string]func(rng *rand.Rand, r *features.Record){
				"runs":     func(*rand.Rand, *features.Record) {},
				"onelabel": func(_ *rand.Rand, r *features.Record) { r.Migrate = true },
				"unusable": func(_ *rand.Rand, r *features.Record) { r.Condition = features.CPUsAllowed },
			} {
				if err := writeRuns(filepath.Join(env.WorkDir, name+".parquet"), fill); err != nil {
					return err
				}
			}
			return nil
		},
	})
}

func writeRuns(path string, fill func(rng *rand.Rand, r *features.Record)) error {
	rng := rand.New(rand.NewPCG(1, 2))
	var parts []string
	for run := range 8 {
		part := fmt.Sprintf("%s.%d", path, run)
		w, err := dataset.Create(part, dataset.Meta{Runs: []dataset.Run{{
			ID: fmt.Sprint("run", run), Load: []string{"50", "100", "200", "400"}[run%4], Kernel: "6.12.48+deb13-amd64", Topology: "2x4x2",
		}}})
		if err != nil {
			return err
		}
		recs := make([]features.Record, 150)
		for i := range recs {
			randomRecord(rng, &recs[i])
			fill(rng, &recs[i])
		}
		if err := w.Write(recs); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		parts = append(parts, part)
	}
	_, err := dataset.Merge(context.Background(), path, false, "test", parts...)
	return err
}

func randomRecord(rng *rand.Rand, r *features.Record) {
	r.Fair, r.Domain = true, features.SDNUMA
	r.Idle = features.IdleType(rng.IntN(3))
	r.DstNode, r.PreferredNode = int32(rng.IntN(2)), int32(rng.IntN(3)-1)
	r.SrcNrRunning = uint32(2 + rng.IntN(3))
	r.SrcLen, r.SrcNrPreferredRunning, r.SrcLoad = r.SrcNrRunning, uint32(rng.IntN(3)), uint64(rng.IntN(4000))
	r.Delta, r.MigrationCost = rng.Int64N(3e6), 500_000
	r.NrBalanceFailed, r.CacheNiceTries = uint32(rng.IntN(3)), 1
	r.NUMABalancing, r.HasFaults = true, r.PreferredNode >= 0
	if r.HasFaults {
		r.TaskFaults = []uint64{uint64(rng.IntN(100)), uint64(rng.IntN(100))}
		r.TaskTotalFaults = r.TaskFaults[0] + r.TaskFaults[1]
	}
	r.Migrate = scheduler.CFS{}.Decide(&r.Decision).Migrate
}

// TestTrainInterrupted holds that a signal leaves no model, and the status that
// shells give it.
func TestTrainInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	model := filepath.Join(t.TempDir(), "m.json")
	err := run(ctx, []string{"train", "../../learn/dataset/testdata/a.parquet", "--out", model}, io.Discard, io.Discard)
	if code := exitCode(err, io.Discard); code != 130 {
		t.Errorf("exit status %d after %v", code, err)
	}
	if _, err := os.Stat(model); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the model: %v", err)
	}
}

// TestTrainProgress holds how much of the work is done.
func TestTrainProgress(t *testing.T) {
	p := newTrainProgress(io.Discard, "fold", 4, 100)
	for _, step := range []struct {
		job, epoch int
		done       bool
		want       float64
	}{
		{0, 50, false, 50.0 / 400}, // at most
		{0, 50, true, 50.0 / 200},
		{1, 25, false, 75.0 / 200},
		{1, 70, false, 120.0 / 220},
	} {
		p.epoch(step.job, mlp.Epoch{Number: step.epoch}, step.done)
		if got := p.share(); got != step.want {
			t.Errorf("training %d at epoch %d: %g of the work, want %g", step.job, step.epoch, got, step.want)
		}
	}
}
