// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mllb/features"
	"mllb/topology"
)

// still is a host that stays as it is.
type still struct{ is features.Snapshot }

func (h still) Snapshot(s *features.Snapshot) error {
	*s = h.is
	return nil
}

func (still) Close() error { return nil }

// host4 has one thread, on CPU 3, and these CPUs online.
func host4(state byte, online ...int) features.Snapshot {
	s := features.Snapshot{Threads: []features.Thread{{State: state, CPU: 3}}, Runqueues: make([]features.Runqueue, 4)}
	for _, cpu := range online {
		s.Runqueues[cpu].Online = true
	}
	return s
}

// listOnline writes the list of online CPUs.
func listOnline(t *testing.T, root, list string) {
	t.Helper()
	dir := filepath.Join(root, "sys/devices/system/cpu")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"online": list, "present": "0-3", "possible": "0-3"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCheckOnline(t *testing.T) {
	for _, tt := range []struct {
		name        string
		list, later string // of online CPUs: when the topology is read, and from then on
		first, then features.Snapshot
		madeUp      bool
	}{
		{"as listed", "0-3", "0-3", host4('R', 0, 1, 2, 3), host4('R', 0, 1, 2, 3), false},
		{"a sleeper on a CPU that is off line", "0-1", "0-1", host4('S', 0, 1), host4('S', 0, 1), false},
		{"a thread runs where the list has no CPU", "0-1", "0-1", host4('R', 0, 1), host4('R', 0, 1), true},
		{"the kernel has more CPUs online", "0-1", "0-1", host4('S', 0, 1, 2), host4('S', 0, 1, 2), true},
		{"a CPU came since", "0-1", "0-1,3", host4('R', 0, 1), host4('R', 0, 1, 3), false},
		{"a CPU goes", "0-1", "0-1", host4('R', 0, 1), host4('S', 0, 1), false},
	} {
		for _, mode := range []string{"own", "assist", "observe"} {
			root := t.TempDir()
			listOnline(t, root, tt.list)
			var log bytes.Buffer
			s := &session{
				cfg: &runCmd{common: common{Root: root}, Mode: mode}, host: still{tt.then},
				log: slog.New(slog.NewTextHandler(&log, nil)),
			}
			if err := s.readTopology(); err != nil {
				t.Fatal(err)
			}
			listOnline(t, root, tt.later)
			first := tt.first
			err := s.checkOnline(&first)
			said := log.String()
			if err != nil {
				said = err.Error()
			}
			if refused := tt.madeUp && mode != "observe"; refused != (err != nil) {
				t.Errorf("%s, %s: %v", tt.name, mode, err)
			}
			if tt.madeUp != strings.Contains(said, "cpu/online lists {0-1}, but threads run on {") {
				t.Errorf("%s, %s: said %q", tt.name, mode, said)
			}
			if s.topology.Online.String() != tt.later {
				t.Errorf("%s, %s: the topology has %s", tt.name, mode, s.topology.Online)
			}
		}
	}
}

// TestUnlistedHere: the CPUs of this process are among those in use.
func TestUnlistedHere(t *testing.T) {
	s := &session{cfg: &runCmd{common: common{Root: "/"}}, topology: new(topology.Topology)}
	if got := s.unlisted(new(features.Snapshot)); got.Empty() {
		t.Error("none is seen")
	}
}
