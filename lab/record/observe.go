// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Agreement counts the kernel's decisions by its answer and the model's, as
// mllbd run --mode observe logs them.
type Agreement struct {
	StayStay       uint64 `json:"stay_stay"`
	StayMigrate    uint64 `json:"stay_migrate"`
	MigrateStay    uint64 `json:"migrate_stay"`
	MigrateMigrate uint64 `json:"migrate_migrate"`
	// OutOfDistribution: of all of them, where the rule answered for the model. The key is that of saved results.
	OutOfDistribution uint64 `json:"outside"`
	Lost              uint64 `json:"lost"` // not seen
}

// Total is how many decisions were compared.
func (a *Agreement) Total() uint64 {
	return a.StayStay + a.StayMigrate + a.MigrateStay + a.MigrateMigrate
}

// Observed is a line that Observe prints: while a run is under way, and with
// Done at its end, when alone Agreement is set.
type Observed struct {
	Run      string `json:"run"`
	Compared uint64 `json:"compared"`
	Done     bool   `json:"done"`
	Agreement
}

// metricsAddr is where mllbd tells how far it is.
const (
	metricsAddr = "127.0.0.1:9184"
	pollEvery   = time.Second
	pollLimit   = time.Minute      // a guest under load is slow to answer
	readyLimit  = 15 * time.Minute // and more so if its host is under load too
)

// Observe runs in the guest: it makes the loads of the runs one after the other
// and has mllbd put each of the kernel's decisions to the model meanwhile, a
// run's Records of them or as many as fall into its Duration; the last one makes
// up for what others lack. Tunings stay for the runs that follow.
func Observe(ctx context.Context, runs []Run, model string, stdout, stderr io.Writer) error {
	if err := realtime(); err != nil {
		return err
	}
	out := json.NewEncoder(stdout)
	var want, got uint64
	for i, r := range runs {
		if want += r.Records; i == len(runs)-1 && want > got {
			r.Records = max(r.Records, want-got)
		}
		for _, t := range r.Tuning {
			if err := tune(schedDebug, t); err != nil {
				return err
			}
		}
		a, err := observe(ctx, r, model, out, stderr)
		if err != nil {
			return fmt.Errorf("%s: %w", r.Name(), err)
		}
		got += a.Total()
		if err := out.Encode(Observed{r.Name(), a.Total(), true, a}); err != nil {
			return err
		}
	}
	return nil
}

// observe is one run: mllbd attaches before the load and ends after it.
func observe(ctx context.Context, r Run, model string, out *json.Encoder, stderr io.Writer) (a Agreement, err error) {
	cmd := exec.Command("mllbd", "run", "--mode", "observe", "--compare", "--model", model, "--listen", metricsAddr,
		"--interval", "250ms", "--max-cpu", "0", "--log-format", "json")
	logs, err := cmd.StderrPipe()
	if err != nil {
		return a, err
	}
	if err := cmd.Start(); err != nil {
		return a, fmt.Errorf("start mllbd run: %w", err)
	}
	defer cmd.Process.Kill() // of one that ended: no matter
	o := &observer{attached: make(chan struct{}), ended: make(chan struct{})}
	go o.read(logs, stderr)
	select {
	case <-o.attached:
	case <-o.ended:
		return a, errors.Join(errors.New("mllbd exited early"), cmd.Wait())
	case <-time.After(readyLimit):
		return a, fmt.Errorf("mllbd did not attach within %v", readyLimit)
	case <-ctx.Done():
		return a, ctx.Err()
	}
	stop, err := startLoads(r, stderr)
	if err != nil {
		return a, err
	}
	err = o.wait(ctx, r, out)
	if err := errors.Join(err, stop(), cmd.Process.Signal(unix.SIGINT)); err != nil {
		return a, err
	}
	<-o.ended
	if err := cmd.Wait(); err != nil {
		return a, fmt.Errorf("mllbd run: %w", err)
	}
	if o.result == nil {
		return a, errors.New("mllbd run reported no agreement")
	}
	return *o.result, nil
}

// observer follows mllbd run.
type observer struct {
	attached chan struct{} // closed when it traces
	ended    chan struct{} // closed when it closed its log
	result   *Agreement    // then
}

// read parses what mllbd logs, and passes warnings and errors on.
func (o *observer) read(logs io.Reader, stderr io.Writer) {
	defer close(o.ended)
	for s := bufio.NewScanner(logs); s.Scan(); {
		var line struct {
			Level, Msg string
			Agreement
			OutOfDistribution uint64 `json:"out_of_distribution"` // as mllbd calls it
		}
		switch err := json.Unmarshal(s.Bytes(), &line); {
		case err != nil || line.Level != "INFO":
			fmt.Fprintln(stderr, s.Text())
		case line.Msg == "balancing":
			close(o.attached)
		case line.Msg == "agreement":
			o.result = &line.Agreement
			o.result.OutOfDistribution = line.OutOfDistribution
		}
	}
}

// wait returns when enough was compared, or the run's time is over.
func (o *observer) wait(ctx context.Context, r Run, out *json.Encoder) error {
	var over <-chan time.Time // nil: never
	if r.Duration > 0 {
		over = time.After(r.Duration)
	}
	client := http.Client{Timeout: pollLimit}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-o.ended:
			return errors.New("mllbd exited early")
		case <-over:
			return nil
		case <-time.After(pollEvery):
		}
		n, err := compared(&client)
		if err != nil {
			return err
		}
		if err := out.Encode(Observed{Run: r.Name(), Compared: n}); err != nil {
			return err
		}
		if r.Records > 0 && n >= r.Records {
			return nil
		}
	}
}

func compared(client *http.Client) (uint64, error) {
	resp, err := client.Get("http://" + metricsAddr + "/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return parseCompared(resp.Body)
}

// parseCompared adds up mllb_kernel_decisions_total.
func parseCompared(metrics io.Reader) (n uint64, err error) {
	found := false
	s := bufio.NewScanner(metrics)
	for s.Scan() {
		if !strings.HasPrefix(s.Text(), "mllb_kernel_decisions_total{") {
			continue
		}
		x, err := strconv.ParseFloat(s.Text()[strings.LastIndexByte(s.Text(), ' ')+1:], 64)
		if err != nil || !(x >= 0) {
			return 0, fmt.Errorf("metrics of mllbd: line %q", s.Text())
		}
		n, found = n+uint64(x), true
	}
	if s.Err() == nil && !found {
		err = errors.New("metrics of mllbd: no kernel decisions")
	}
	return n, errors.Join(s.Err(), err)
}
