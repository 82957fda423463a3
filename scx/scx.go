// SPDX-License-Identifier: Apache-2.0

package scx

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"mllb/internal/procfile"
	"mllb/mlp"
	"mllb/topology"
)

// Errors of Open.
var (
	ErrUnsupported = errors.New("this kernel has no sched_ext (CONFIG_SCHED_CLASS_EXT)")
	ErrOccupied    = errors.New("another sched_ext scheduler is loaded")
)

// Name is the scheduler's in /sys/kernel/sched_ext/root/ops.
const Name = "mllb"

// Config is what Open loads.
type Config struct {
	Policy string
	Model  *mlp.Model // of policy mlp
	// Partial: only threads that ask for SCHED_EXT are scheduled; else all are of the fair class.
	Partial       bool
	Topology      *topology.Topology
	Speeds        []uint32 // by CPU, of features.FullSpeed; nil: all alike
	MigrationCost time.Duration
	NUMABalancing bool
	SampleEvery   uint32 // decisions; 0: none
}

// Scheduler is one that is loaded.
type Scheduler struct {
	objs    scxObjects
	link    link.Link
	samples *ringbuf.Reader
	places  []place
	slot    uint32
}

// Supported says why no scheduler can be loaded now: the kernel has no sched_ext, or
// another one is loaded.
func Supported() error {
	state, ops, err := procfile.SchedExt("/")
	switch {
	case err != nil:
		return fmt.Errorf("scx: %w", err)
	case state == "":
		return fmt.Errorf("scx: %w", ErrUnsupported)
	case ops != "":
		return fmt.Errorf("scx: %w: %q (%s)", ErrOccupied, ops, state)
	}
	return nil
}

// Probe loads the programs, which changes nothing, and says why the kernel refuses them.
func Probe() error {
	if err := Supported(); err != nil {
		return err
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		return fmt.Errorf("scx: %w", err)
	}
	var objs scxObjects
	if err := loadScxObjects(&objs, nil); err != nil {
		return fmt.Errorf("scx: %w", err)
	}
	return objs.Close()
}

// Open loads the scheduler. From then on, until Close, the end of this process or an
// error that Ended tells of, the kernel asks it.
func Open(cfg Config) (*Scheduler, error) {
	if err := Supported(); err != nil {
		return nil, err
	}
	s := new(Scheduler)
	if err := s.open(&cfg); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("scx: %w", err)
	}
	return s, nil
}

func (s *Scheduler) open(cfg *Config) error {
	n, err := newNet(cfg.Policy, cfg.Model)
	if err != nil {
		return err
	}
	places, nears, err := placesOf(cfg.Topology, cfg.Speeds)
	if err != nil {
		return err
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		return err
	}
	spec, err := loadScx()
	if err != nil {
		return err
	}
	for name, v := range map[string]any{
		scxVarNrCpus: uint32(len(places)), scxVarSampleEvery: cfg.SampleEvery,
		scxVarMigrationCost: cfg.MigrationCost.Nanoseconds(), scxVarNumaBalancing: cfg.NUMABalancing,
	} {
		if err := spec.Variables[name].Set(v); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := spec.LoadAndAssign(&s.objs, nil); err != nil {
		return err
	}
	if err := s.objs.Nets.Put(s.slot, n); err != nil {
		return err
	}
	s.places = places
	for cpu := range places {
		if err := s.objs.Places.Put(uint32(cpu), &places[cpu]); err != nil {
			return err
		}
		if err := s.objs.Nears.Put(uint32(cpu), &nears[cpu]); err != nil {
			return err
		}
	}
	if s.samples, err = ringbuf.NewReader(s.objs.Samples); err != nil {
		return err
	}
	ops := s.objs.Whole
	if cfg.Partial {
		ops = s.objs.Partial
	}
	if s.link, err = link.AttachStructOps(link.StructOpsOptions{Map: ops}); err != nil {
		if e := s.Ended(); e != nil {
			return fmt.Errorf("%w: %w", err, e)
		}
		return err
	}
	// The link can be there although the kernel has already ended the scheduler.
	if e := s.Ended(); e != nil {
		return e
	}
	return nil
}

// Swap makes the scheduler ask another policy, from one decision to the next.
func (s *Scheduler) Swap(policy string, m *mlp.Model) error {
	n, err := newNet(policy, m)
	if err != nil {
		return err
	}
	// Programs run in an RCU read-side critical section: when a grace period has gone
	// by since the last Swap, none reads the slot any more that it took out of use.
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, membarrierGlobal, 0, 0); errno != 0 {
		return fmt.Errorf("scx: wait until no CPU reads the policy before: membarrier: %w", errno)
	}
	other := 1 - s.slot
	if err := s.objs.Nets.Put(other, n); err != nil {
		return fmt.Errorf("scx: %w", err)
	}
	if err := s.objs.CurrentNet.Set(other); err != nil {
		return fmt.Errorf("scx: %w", err)
	}
	s.slot = other
	return nil
}

// SetSpeed says what a CPU is worth from now on, of features.FullSpeed; 0: not known.
func (s *Scheduler) SetSpeed(cpu int, speed uint32) error {
	if cpu >= len(s.places) || s.places[cpu].Speed == 0 {
		return nil // it is off line, or left out
	}
	s.places[cpu].Speed = speedOr(speed)
	if err := s.objs.Places.Put(uint32(cpu), &s.places[cpu]); err != nil {
		return fmt.Errorf("scx: %w", err)
	}
	return nil
}

// membarrierGlobal is MEMBARRIER_CMD_GLOBAL (include/uapi/linux/membarrier.h), which
// waits for a grace period; with nohz_full it is refused (EINVAL).
const membarrierGlobal = 1

// Counters are what the scheduler counted, of all CPUs.
type Counters = scxMllbCounters

// Counters reads them.
func (s *Scheduler) Counters() (all Counters, err error) {
	var each []Counters
	if err := s.objs.Counters.Lookup(uint32(0), &each); err != nil {
		return all, fmt.Errorf("scx: %w", err)
	}
	for i := range each {
		all.Add(&each[i])
	}
	return all, nil
}

// Add adds what another one counted.
func (s *Counters) Add(c *Counters) {
	s.WakesIdle += c.WakesIdle
	s.WakesBusy += c.WakesBusy
	s.Enqueued += c.Enqueued
	s.Unknown += c.Unknown
	s.Overridden += c.Overridden
	s.Lost += c.Lost
	s.Exhausted += c.Exhausted
	s.Kicked += c.Kicked
	s.Dropped += c.Dropped
	for l := range c.Pulled {
		s.Asked[l] += c.Asked[l]
		s.Approved[l] += c.Approved[l]
		s.Pulled[l] += c.Pulled[l]
	}
}

// Exit is why the kernel ended a scheduler.
type Exit struct {
	Kind   uint32 // enum scx_exit_kind (kernel/sched/ext_internal.h)
	Code   int64
	Reason string
	Msg    string
}

// Error says it in the kernel's words.
func (e *Exit) Error() string {
	text := "the kernel ended the scheduler: " + e.Reason
	if e.Msg != "" {
		text += ": " + e.Msg
	}
	return text
}

// Restart reports whether the kernel asks for the scheduler to be loaded again, as after
// CPU hotplug (SCX_ECODE_ACT_RESTART).
func (e *Exit) Restart() bool { return e.Code&(1<<48) != 0 }

// exitUnreg is SCX_EXIT_UNREG: user space asked for it.
const exitUnreg = 64

// Ended returns an *Exit if the kernel ended the scheduler and nobody asked it to, else nil.
func (s *Scheduler) Ended() error {
	var e scxMllbEnded
	if s.objs.Ended == nil || s.objs.Ended.Get(&e) != nil || e.Kind == 0 || e.Kind == exitUnreg {
		return nil
	}
	return &Exit{Kind: e.Kind, Code: e.Code, Reason: cString(e.Reason[:]), Msg: cString(e.Msg[:])}
}

func cString(b []int8) string {
	var s []byte
	for _, c := range b {
		if c == 0 {
			break
		}
		s = append(s, byte(c))
	}
	return string(s)
}

// Close gives the threads back to the kernel's own scheduler.
func (s *Scheduler) Close() error {
	var errs []error
	if s.link != nil {
		errs = append(errs, s.link.Close())
	}
	if s.samples != nil {
		errs = append(errs, s.samples.Close())
	}
	return errors.Join(append(errs, s.objs.Close())...)
}
