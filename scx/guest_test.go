// SPDX-License-Identifier: Apache-2.0

package scx

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"mllb/mlp"
	"mllb/scheduler"
	"mllb/topology"
)

// TestMain: this program is also the load.
func TestMain(m *testing.M) {
	if d, err := time.ParseDuration(os.Getenv("MLLB_SCX_SPIN")); err == nil {
		spin(d)
		return
	}
	if n, err := strconv.Atoi(os.Getenv("MLLB_SCX_STORM")); err == nil {
		storm(n)
		return
	}
	if os.Getenv("MLLB_SCX_COOKIE") != "" {
		haveCookie()
		return
	}
	if mode := os.Getenv("MLLB_SCX_LOAD"); mode != "" {
		fmt.Println(loadForever(mode == "partial"))
		return
	}
	os.Exit(m.Run())
}

// schedExt is SCHED_EXT (include/uapi/linux/sched.h).
const schedExt = 7

// spin keeps a thread busy, with a short pause now and then, and says how much CPU time it got.
func spin(d time.Duration) {
	runtime.LockOSThread()
	if os.Getenv("MLLB_SCX_ASK") != "" {
		if err := unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: schedExt}, 0); err != nil {
			fmt.Println(err)
			return
		}
	}
	for end := time.Now().Add(d); time.Now().Before(end); {
		for until := time.Now().Add(50 * time.Millisecond); time.Now().Before(until); {
		}
		if os.Getenv("MLLB_SCX_NO_PAUSE") == "" {
			time.Sleep(time.Millisecond)
		}
	}
	var ru unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &ru)
	fmt.Println(time.Duration(ru.Utime.Nano() + ru.Stime.Nano()).Milliseconds())
}

// hog is a busy process.
type hog struct {
	*exec.Cmd
	out bytes.Buffer
}

func startHogs(t *testing.T, n int, d time.Duration, env ...string) []*hog {
	t.Helper()
	hogs := make([]*hog, n)
	for i := range hogs {
		h := &hog{Cmd: exec.Command(os.Args[0])}
		h.Env = append(append(os.Environ(), "MLLB_SCX_SPIN="+d.String(), "GOMAXPROCS=1"), env...)
		h.Stdout = &h.out
		if err := h.Start(); err != nil {
			t.Fatal(err)
		}
		hogs[i] = h
	}
	return hogs
}

// times waits for the hogs and returns the CPU time of each, in ms.
func times(t *testing.T, hogs []*hog) (ms []int) {
	t.Helper()
	for _, h := range hogs {
		if err := h.Wait(); err != nil {
			t.Fatalf("%v: %s", err, &h.out)
		}
		n, err := strconv.Atoi(strings.TrimSpace(h.out.String()))
		if err != nil {
			t.Fatal(err)
		}
		ms = append(ms, n)
	}
	return ms
}

func machine(t *testing.T) *topology.Topology {
	t.Helper()
	topo, err := topology.Read("/")
	if err != nil {
		t.Fatal(err)
	}
	return topo
}

// load loads the scheduler, in guests alone.
func load(t *testing.T, cfg Config) *Scheduler {
	t.Helper()
	if !inGuest {
		t.Skip("changes the machine as a whole, so it needs a guest: mllb lab test scx")
	}
	if cfg.Topology == nil {
		cfg.Topology = machine(t)
	}
	if cfg.MigrationCost == 0 {
		cfg.MigrationCost = 500 * time.Microsecond
	}
	s, err := Open(cfg)
	if errors.Is(err, ErrUnsupported) {
		t.Skip(err)
	}
	var refused *ebpf.VerifierError
	if errors.As(err, &refused) {
		t.Fatalf("%v: %s", err, strings.Join(refused.Log[max(0, len(refused.Log)-40):], "\n"))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func state(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/sys/kernel/sched_ext/state")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// TestSchedules: with twice as many threads as CPUs each policy shares the machine,
// and the kernel has it back afterwards.
func TestSchedules(t *testing.T) {
	model, err := mlp.Default()
	if err != nil {
		t.Fatal(err)
	}
	all, lasting := policies, 10*time.Second
	if testing.Short() {
		all, lasting = policies[:1], 5*time.Second
	}
	for _, policy := range all {
		t.Run(policy, func(t *testing.T) {
			s := load(t, Config{Policy: policy, Model: model, SampleEvery: 1})
			if got := state(t); got != "enabled" {
				t.Fatalf("state %s", got)
			}
			n := 2 * runtime.NumCPU()
			ms := times(t, startHogs(t, n, lasting))
			c, err := s.Counters()
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("CPU times %v ms; %+v", ms, c)
			if e := s.Ended(); e != nil {
				t.Fatal(e)
			}
			if least, most := slices.Min(ms), slices.Max(ms); least*4 < most {
				t.Errorf("the threads got %d to %d ms", least, most)
			}
			if c.Enqueued == 0 || c.WakesIdle == 0 || c.Asked == [topology.NumLevels]uint64{} || policy != "never" && c.Pulled == [topology.NumLevels]uint64{} {
				t.Error("nothing was scheduled, or nothing pulled")
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if got := state(t); got != "disabled" {
				t.Errorf("state %s after the end", got)
			}
		})
	}
}

// TestSamples: what the scheduler decided is what Go decides of the same facts, by the
// policy that the sample names, while that is swapped under load again and again.
func TestSamples(t *testing.T) {
	model, err := mlp.Default()
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	type arm struct {
		policy string
		model  *mlp.Model
	}
	arms := []arm{{"mlp", model}, {"cfs", nil}, {"always", nil}, {"never", nil}}
	for len(arms) < 12 {
		m := randomModel(rng)
		m.Ranges = nil
		if _, err := newNet("mlp", m); err == nil {
			arms = append(arms, arm{"mlp", m})
		}
	}
	by := make(map[uint64]scheduler.Policy)
	for _, a := range arms {
		n, err := newNet(a.policy, a.model)
		if err != nil {
			t.Fatal(err)
		}
		if by[n.Checksum], err = scheduler.NewPolicy(a.policy, a.model); err != nil {
			t.Fatal(err)
		}
	}
	s := load(t, Config{Policy: "mlp", Model: model, SampleEvery: 1})
	lasting := 15 * time.Second
	if testing.Short() {
		lasting = 8 * time.Second
	}
	hogs := startHogs(t, 3*runtime.NumCPU(), lasting+2*time.Second)
	seen, swaps := make(map[uint64]int), 0
	var d Sample
	for end := time.Now().Add(lasting); time.Now().Before(end); swaps++ {
		a := arms[swaps%len(arms)]
		if err := s.Swap(a.policy, a.model); err != nil {
			t.Fatal(err)
		}
		s.SetDeadline(time.Now().Add(time.Millisecond))
		for range 200 { // more come all the time
			if err := s.Next(&d); errors.Is(err, os.ErrDeadlineExceeded) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			p := by[d.Checksum]
			if p == nil {
				t.Fatalf("decided by %x, which was never loaded", d.Checksum)
			}
			if want := p.Decide(&d.Decision); d.Verdict != want {
				t.Fatalf("%s: %+v, want %+v of %+v", p.Name(), d.Verdict, want, d.Decision)
			}
			seen[d.Checksum]++
		}
	}
	times(t, hogs)
	c, err := s.Counters()
	if err != nil {
		t.Fatal(err)
	}
	if e := s.Ended(); e != nil {
		t.Fatal(e)
	}
	total := 0
	for _, n := range seen {
		total += n
	}
	t.Logf("%d swaps, %d samples by %d of %d policies; %+v", swaps, total, len(seen), len(arms), c)
	if total < 100 || len(seen) < min(swaps, len(arms))/2 || swaps < 4 {
		t.Error("too few samples")
	}
}

// TestPartial: only what asks for it is scheduled.
func TestPartial(t *testing.T) {
	s := load(t, Config{Policy: "cfs", Partial: true})
	before, err := s.Counters()
	if err != nil {
		t.Fatal(err)
	}
	times(t, startHogs(t, 2, time.Second))
	fair, err := s.Counters()
	if err != nil {
		t.Fatal(err)
	}
	ms := times(t, startHogs(t, 2*runtime.NumCPU(), 5*time.Second, "MLLB_SCX_ASK=1"))
	ext, err := s.Counters()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("CPU times %v ms; %+v", ms, ext)
	if e := s.Ended(); e != nil {
		t.Fatal(e)
	}
	if fair != before || ext.Enqueued == fair.Enqueued {
		t.Errorf("before %+v, beside fair threads %+v, beside its own %+v", before, fair, ext)
	}
}

// TestOccupied: there is one scheduler at a time.
func TestOccupied(t *testing.T) {
	load(t, Config{Policy: "cfs", Partial: true})
	_, err := Open(Config{Policy: "cfs", Topology: machine(t)})
	if !errors.Is(err, ErrOccupied) || !strings.Contains(err.Error(), `"mllb"`) {
		t.Errorf("a second one: %v", err)
	}
}
