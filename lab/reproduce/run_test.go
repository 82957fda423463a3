// SPDX-License-Identifier: Apache-2.0

package reproduce

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mllb/features"
	"mllb/lab"
	"mllb/lab/record"
	"mllb/learn/dataset"
	"mllb/scheduler"
)

// writeRun writes decisions that the kernel's rule labelled.
func writeRun(t *testing.T, dir, id, tag, load, kernel string, rows int) string {
	t.Helper()
	path := filepath.Join(dir, id+".parquet")
	w, err := dataset.Create(path, dataset.Meta{Runs: []dataset.Run{{ID: id, Tag: tag, Load: load, Kernel: kernel, Topology: "2x14x2"}}})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(uint64(len(path)), uint64(rows)))
	recs := make([]features.Record, rows)
	for i := range recs {
		r := &recs[i]
		r.Fair, r.Idle, r.SrcNrRunning, r.SrcLen, r.MigrationCost = true, features.IdleType(rng.IntN(3)), 2, uint32(2+rng.IntN(3)), 500_000
		r.Delta, r.NrBalanceFailed, r.CacheNiceTries = rng.Int64N(2e6), uint32(rng.IntN(3)), 1
		if rng.IntN(2) == 0 {
			r.Domain = features.ShareCPUCapacity
		}
		r.Migrate = scheduler.CFS{}.Decide(&r.Decision).Migrate
	}
	if err := errors.Join(w.Write(recs), w.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestRun goes through all steps on given data, with a guest that is made up,
// is stopped in the middle, goes on there, and writes the report.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{Dir: filepath.Join(dir, "state"), Scale: Quick, Report: filepath.Join(dir, "docs", "R.md"), Command: "mllb reproduce --test", Version: "v0"}
	cfg.Scale.Epochs, cfg.Scale.Folds, cfg.Scale.Live = 3, 2, 60
	for i, load := range []string{"50", "100", "200", "50", "100", "200"} {
		tag, kernel := record.Stressors, "6.12.1"
		if i > 2 {
			tag = "bursts+fast"
		}
		cfg.Data = append(cfg.Data, writeRun(t, dir, fmt.Sprint("run", i), tag, load, kernel, 300+i))
	}
	cfg.Data = append(cfg.Data, writeRun(t, dir, "later", "bursts", "100", "7.2.1", 100))
	boots, dead := 0, errors.New("the guest died")
	cfg.Kernel = func(context.Context, func(string)) (lab.Kernel, error) { return lab.Kernel{Release: "6.12.1"}, nil }
	cfg.Guest = func(context.Context, lab.Kernel, func(string)) (lab.Config, error) { return lab.Config{}, nil }
	cfg.boot = func(_ context.Context, guest lab.Config) (lab.Result, error) {
		if boots++; boots == 1 {
			return lab.Result{}, dead
		}
		var runs []record.Run
		if err := json.Unmarshal([]byte(guest.Args[len(guest.Args)-1]), &runs); err != nil {
			t.Error(err)
		}
		for _, r := range runs {
			o := record.Observed{Run: r.Name(), Compared: r.Records, Done: true, Agreement: record.Agreement{StayStay: 1, MigrateMigrate: r.Records - 1}}
			if err := json.NewEncoder(guest.Stdout).Encode(o); err != nil {
				t.Error(err)
			}
		}
		return lab.Result{}, nil
	}
	var log bytes.Buffer
	cfg.Out = &log
	if err := Run(t.Context(), cfg); !errors.Is(err, dead) || !strings.Contains(log.String(), "stopped at step 11 of 12, live decisions") {
		t.Fatalf("error %v, log\n%s", err, &log)
	}
	before := results(t, cfg.Dir)
	if err := Run(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	after := results(t, cfg.Dir)
	for name, text := range before {
		if after[name] != text {
			t.Errorf("%s was made again", name)
		}
	}
	if len(after) != len(before)+1 || boots != 2 {
		t.Errorf("%d results after %d, %d guests", len(after), len(before), boots)
	}
	b, err := os.ReadFile(cfg.Report)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| the paper's loads, 2x14x2 | 3 | 903 |", "| diverse loads | 3 | 912 |", "| Linux 7.2.1 | 1 | 100 |", "| accuracy | 99.24 % |",
		"| 6.12.1 | 1,815 | 0 | 0 |", "On 100 decisions of a later kernel", "| 60, 100.000 % | holds |", "](R-loss.svg)", "`paper15 + same_smt`",
		"accuracy | at least 99.900 % |",
	} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	for _, bad := range []string{"NaN", "<no value>", "%!"} {
		if strings.Contains(string(b), bad) {
			t.Errorf("the report has %q", bad)
		}
	}
	if svg, err := os.ReadFile(filepath.Join(dir, "docs", "R-loss.svg")); err != nil || !bytes.Contains(svg, []byte("<svg")) {
		t.Errorf("figure: %v", err)
	}
	if t.Failed() {
		t.Log(string(b))
	}
}

// results are the result files.
func results(t *testing.T, dir string) map[string]string {
	files, err := filepath.Glob(filepath.Join(dir, "results", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("results %q, %v", files, err)
	}
	all := make(map[string]string)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all[f] = string(b)
	}
	return all
}

// TestRunRefuses says what is wrong with data.
func TestRunRefuses(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{Dir: dir, Scale: Quick, Report: filepath.Join(dir, "R.md"), Out: &bytes.Buffer{}}
	cfg.Kernel = func(context.Context, func(string)) (lab.Kernel, error) { return lab.Kernel{}, nil }
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("no parquet"), 0o644); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		filepath.Join(dir, "none"): "no such file",
		text:                       text,
		writeRun(t, dir, "later", "bursts", "50", "7.2.1", 100): "none of the 1 files is of kernel 6.12",
	} {
		cfg.Data = []string{file}
		if err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", file, err, want)
		}
	}
}
