// SPDX-License-Identifier: Apache-2.0

package procfs

import (
	"bytes"
	"fmt"
	"testing"

	"mllb/topology"
)

// The parsers must not panic, whatever they are given, and what they accept
// must be within the bounds that the rest of the reader relies on.

func FuzzSched(f *testing.F) {
	f.Add(read(f, thread100+"sched"))
	f.Add(read(f, "host/proc/12/task/12/sched"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s sched
		if s.parse(b) != nil {
			return
		}
		if n := &s.faults; len(s.comm) > 15 || len(n.Task) > maxNodes || len(n.Group) > len(n.Task) {
			t.Errorf("%q: %+v", b, s)
		}
	})
}

// FuzzSchedName puts any name into the header and expects it back.
func FuzzSchedName(f *testing.F) {
	f.Add("a (1, #threads:", 1)
	f.Add("x (1, #thr", 4194304)
	f.Add("", 7)
	good := read(f, "host/proc/12/task/12/sched")
	_, body := cutLine(good)
	f.Fuzz(func(t *testing.T, name string, pid int) {
		if len(name) > 15 || pid < 0 || pid > 1<<22 {
			return
		}
		text := fmt.Appendf(nil, "%s (%d, #threads: 1)\n%s", name, pid, body)
		var s sched
		if err := s.parse(text); err != nil || string(s.comm) != name {
			t.Errorf("%q of %d: %q, %v", name, pid, s.comm, err)
		}
	})
}

func FuzzCgroup(f *testing.F) {
	f.Add([]byte("3:cpuset:/a:b\n0::/x\n"), 0)
	f.Fuzz(func(t *testing.T, b []byte, h int) {
		if path, err := parseCgroup(b, h); err == nil && path != nil && !bytes.Contains(b, path) {
			t.Errorf("%q: %q", b, path)
		}
	})
}

func FuzzDebug(f *testing.F) {
	for _, name := range []string{"debug-6.1", "debug-6.18", "host/sys/kernel/debug/sched/debug"} {
		f.Add(read(f, name))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		blocks, err := parseDebug(b, nil)
		for i := range blocks {
			if c := blocks[i].cpu; c < 0 || c >= topology.MaxCPUs {
				t.Errorf("cpu %d", c)
			}
		}
		if err == nil && len(blocks) == 0 {
			t.Error("neither a block nor an error")
		}
	})
}
