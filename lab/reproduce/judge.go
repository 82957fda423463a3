// SPDX-License-Identifier: Apache-2.0

package reproduce

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mllb/features"
	"mllb/internal/namedfile"
	"mllb/internal/number"
	"mllb/lab"
	"mllb/lab/record"
	"mllb/learn/eval"
	"mllb/mlp"
)

// judged is the network that a quarter of the runs were kept from, on these; and
// on records of later kernels, if there are any.
type judged struct {
	Held  eval.Report  `json:"held"`
	Later *eval.Report `json:"later,omitempty"`
}

func (s *session) judge(ctx context.Context) (err error) {
	key := []string{hashed(s.trained.Held)}
	for _, g := range s.corpus.Groups {
		key = append(key, g.SHA256)
	}
	s.judged, err = once(s, "judge", key, nil, func() (j judged, err error) {
		m, err := mlp.Load(bytes.NewReader(s.trained.Held))
		if err != nil {
			return j, err
		}
		cfg := eval.Config{Model: m, Name: "locality17", Held: true, Importance: true, Seed: 1}
		held, err := eval.Run(ctx, cfg, s.corpus.files(paperKind, diverseKind)...)
		if err != nil {
			return j, err
		}
		j.Held = *held
		trim(&j.Held)
		if later := s.corpus.files(laterKind); len(later) > 0 {
			cfg.Held, cfg.Importance = false, false
			if j.Later, err = eval.Run(ctx, cfg, later...); err != nil {
				return j, err
			}
			trim(j.Later)
		}
		return j, nil
	})
	return err
}

// trim drops what no table shows.
func trim(r *eval.Report) {
	for i := range r.Scores {
		r.Scores[i].ROC, r.Scores[i].Calibration = nil, nil
	}
	r.Data.Files = nil
}

// crossed are networks trained on one load and judged on every: with the
// paper's features and procedure, and with locality17, both labels weighing the
// same.
type crossed struct {
	Paper eval.Matrix `json:"paper"`
	Local eval.Matrix `json:"local"`
}

func (s *session) matrices(ctx context.Context) (err error) {
	key := struct {
		Data    []string
		Epochs  int
		Guarded bool // since there is a figure of it
	}{Epochs: s.cfg.Scale.Epochs, Guarded: true}
	for _, g := range s.corpus.learned() {
		key.Data = append(key.Data, g.SHA256)
	}
	s.crossed, err = once(s, "matrix", key, nil, func() (c crossed, err error) {
		if c.Paper, err = s.matrix(ctx, "paper15", false); err != nil {
			return c, err
		}
		s.progress.tell(0.5, "locality17")
		c.Local, err = s.matrix(ctx, "locality17", true)
		return c, err
	})
	return err
}

func (s *session) matrix(ctx context.Context, name string, balanced bool) (eval.Matrix, error) {
	set, err := features.Lookup(name)
	if err != nil {
		return eval.Matrix{}, err
	}
	how := eval.Recipe{Name: "paper", Train: mlp.PaperConfig(), Balanced: balanced}
	how.Train.Scale, how.Train.Epochs = balanced, s.cfg.Scale.Epochs
	// The matrix makes its own networks; it takes of the one at hand only its shape.
	cfg := eval.Config{Model: mlp.NewModel(set, how.Train.Hidden), Name: name, Matrix: &how, Seed: 1,
		Log: func(line string) { s.progress.tell(-1, "%s: %s", name, line) }}
	r, err := eval.Run(ctx, cfg, s.corpus.files(paperKind, diverseKind)...)
	if err != nil {
		return eval.Matrix{}, err
	}
	m := *r.Matrix
	m.Rows = m.Rows[:len(m.Rows)-1]
	return m, nil
}

// live has a guest's kernel and the network decide side by side.
func (s *session) live(ctx context.Context) error {
	runs, err := s.cfg.Scale.livePlan()
	if err != nil {
		return err
	}
	key := struct {
		Runs   []record.Run
		Model  string
		Kernel string
	}{runs, hashed(s.trained.All), s.host.Release}
	s.observed, err = once(s, "live", key, nil, func() ([]record.Observed, error) { return s.liveNow(ctx, runs) })
	return err
}

const modelInGuest = "/root/model.json"

func (s *session) liveNow(ctx context.Context, runs []record.Run) ([]record.Observed, error) {
	dir, err := os.MkdirTemp("", "mllb-reproduce-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	model := filepath.Join(dir, "model.json")
	if err := namedfile.Write(ctx, model, s.trained.All); err != nil {
		return nil, err
	}
	spec, err := json.Marshal(runs)
	if err != nil {
		return nil, err
	}
	guest, err := s.cfg.Guest(ctx, s.host, func(line string) { s.progress.Say("%s", line) })
	if err != nil {
		return nil, err
	}
	w := &watch{s: s, runs: runs}
	var said bytes.Buffer
	guest.Shape, guest.Single, guest.Timeout = runs[0].Shape, true, guestLimit+time.Duration(len(runs))*runs[0].Duration
	guest.Files = append(guest.Files, lab.File{Host: model, Guest: modelInGuest})
	guest.Args = []string{"mllb", "reproduce-live", "--model", modelInGuest, string(spec)}
	guest.Stdout, guest.Stderr = w, &said
	boot := s.cfg.boot
	if boot == nil {
		boot = lab.Run
	}
	if _, err := boot(ctx, guest); err != nil {
		return nil, errors.Join(err, errors.New(strings.TrimSpace(said.String())))
	}
	if len(w.done) != len(runs) {
		return nil, fmt.Errorf("the guest reported %d of %d loads:\n%s", len(w.done), len(runs), said.String())
	}
	return w.done, nil
}

// Live is what runs in the guest.
func Live(ctx context.Context, spec, model string, stdout, stderr io.Writer) error {
	var runs []record.Run
	if err := json.Unmarshal([]byte(spec), &runs); err != nil {
		return fmt.Errorf("runs: %w", err)
	}
	return record.Observe(ctx, runs, model, stdout, stderr)
}

// watch reads what the guest tells, a line of JSON each.
type watch struct {
	s    *session
	runs []record.Run
	part []byte
	done []record.Observed
	sum  uint64 // compared in those
}

func (w *watch) Write(p []byte) (int, error) {
	w.part = append(w.part, p...)
	for {
		line, rest, whole := bytes.Cut(w.part, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		w.part = rest
		var o record.Observed
		if json.Unmarshal(line, &o) != nil {
			continue // a guest that died may leave half a line
		}
		if at := slices.IndexFunc(w.done, func(d record.Observed) bool { return d.Run == o.Run }); at >= 0 {
			w.done, w.sum = w.done[:at], 0 // another guest, in place of one that died
			for _, d := range w.done {
				w.sum += d.Compared
			}
		}
		share := min(1, float64(o.Compared)/float64(w.runs[0].Records)) // each has the same number to do
		w.s.progress.tell((float64(len(w.done))+share)/float64(len(w.runs)), "%s: %s", o.Run, number.Of(w.sum+o.Compared, "decision"))
		if o.Done {
			w.done, w.sum = append(w.done, o), w.sum+o.Compared
		}
	}
}
