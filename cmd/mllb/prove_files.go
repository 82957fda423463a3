// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"mllb/bench"
	"mllb/internal/namedfile"
	"mllb/internal/number"
)

// check asks mllbd what works here, keeps the answer, and says which things do. Without
// what a benchmark needs there is nothing to prove.
func (c *proveCmd) check(ctx context.Context, mllbd string) (can map[string]bool, err error) {
	args := []string{"check"}
	if os.Geteuid() != 0 { // who cannot have mllbd's own directory
		args = append(args, "--state-dir", c.state)
	}
	text, err := answer(ctx, mllbd, args...)
	if err != nil {
		return nil, err
	}
	if err := namedfile.Write(context.Background(), filepath.Join(c.dir, bench.CheckFile), text); err != nil {
		return nil, err
	}
	if text, err = answer(ctx, mllbd, append(args, "--json")...); err != nil {
		return nil, err
	}
	var found struct {
		Verdicts []struct {
			Name, Reason, Change string
			OK                   bool
		}
	}
	if err := json.Unmarshal(text, &found); err != nil {
		return nil, fmt.Errorf("%s check --json: %w", mllbd, err)
	}
	can = make(map[string]bool)
	for _, v := range found.Verdicts {
		if v.Name == "bench" && !v.OK {
			return nil, fmt.Errorf("this host cannot be measured: %s (to change that: %s)", v.Reason, v.Change)
		}
		can[v.Name] = v.OK
	}
	return can, nil
}

// answer is what a command printed; that it says no is no error.
func answer(ctx context.Context, argv0 string, args ...string) ([]byte, error) {
	text, err := exec.CommandContext(ctx, argv0, args...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(text) > 0 {
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", argv0, args[0], err)
	}
	return text, nil
}

func (c *proveCmd) archive() string { return c.dir + ".tar.gz" }

// archived are the files to send; what a failed run printed stays here.
var archived = []string{"report.html", "report.json", "runs.jsonl", "runs.parquet", "bench.json",
	bench.CheckFile, bench.TopologyFile, machineFile, bench.ContentionFile}

// report shows the results, and packs them.
func (c *proveCmd) report(out output, r *bench.Report) error {
	if err := r.Draw(out.stdout); err != nil {
		return err
	}
	if err := namedfile.WriteWith(context.Background(), c.archive(), c.pack); err != nil {
		return err
	}
	st, err := os.Stat(c.archive())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out.stdout, `
report:  %s
to send: %s (%s bytes)
It has in it: the name of this host (%s), its kernel (%s), CPU and boot parameters of scheduling, a digest of its
machine ID and the ID of this boot, what mllbd check says, the command of each workload, and the last line that a
failed run printed.
`, filepath.Join(c.dir, "report.html"), c.archive(), number.Count(st.Size()), r.Machine.Host, r.Machine.Kernel)
	return err
}

// pack writes the archive: names below that of the directory, and nobody's user.
func (c *proveCmd) pack(w io.Writer) error {
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	for _, name := range slices.Sorted(slices.Values(archived)) {
		b, err := namedfile.ReadFile(filepath.Join(c.dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		h := &tar.Header{Name: filepath.Base(c.dir) + "/" + name, Mode: 0o644, Size: int64(len(b)), Typeflag: tar.TypeReg}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if _, err := t.Write(b); err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), z.Close())
}
