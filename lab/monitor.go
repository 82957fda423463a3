// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"encoding/json"
	"fmt"
	"io"
)

// monitor speaks QMP, QEMU's machine protocol: JSON objects, one an answer to
// each command, with events in between (docs/interop/qmp-spec.txt).
type monitor struct {
	to   *json.Encoder
	from *json.Decoder
}

func newMonitor(rw io.ReadWriter) *monitor {
	return &monitor{to: json.NewEncoder(rw), from: json.NewDecoder(rw)}
}

// call runs a command and decodes its answer, unless into is nil.
func (m *monitor) call(command string, into any) error {
	if err := m.to.Encode(map[string]string{"execute": command}); err != nil {
		return fmt.Errorf("QMP %s: %w", command, err)
	}
	for {
		var got struct {
			Return json.RawMessage
			Error  *struct{ Desc string }
		}
		switch err := m.from.Decode(&got); {
		case err != nil:
			return fmt.Errorf("QMP %s: %w", command, err)
		case got.Error != nil:
			return fmt.Errorf("QMP %s: %s", command, printable([]byte(got.Error.Desc)))
		case got.Return == nil: // the greeting, or an event
		case into == nil:
			return nil
		default:
			if err := json.Unmarshal(got.Return, into); err != nil {
				return fmt.Errorf("QMP %s: %w", command, err)
			}
			return nil
		}
	}
}

// cpuThreads returns the host thread of each of n guest CPUs. QEMU names its
// threads too, but only this says which is whose by contract.
func (m *monitor) cpuThreads(n int) ([]int, error) {
	if err := m.call("qmp_capabilities", nil); err != nil {
		return nil, err
	}
	var cpus []struct {
		Index  int `json:"cpu-index"`
		Thread int `json:"thread-id"`
	}
	if err := m.call("query-cpus-fast", &cpus); err != nil {
		return nil, err
	}
	tids, seen := make([]int, n), make(map[int]bool)
	for _, c := range cpus {
		if c.Index < 0 || c.Index >= n || tids[c.Index] != 0 || c.Thread <= 0 || seen[c.Thread] {
			return nil, fmt.Errorf("QMP query-cpus-fast: thread %d of CPU %d: want one thread for each of %d CPUs", c.Thread, c.Index, n)
		}
		tids[c.Index], seen[c.Thread] = c.Thread, true
	}
	if len(cpus) != n {
		return nil, fmt.Errorf("QMP query-cpus-fast: threads of %d CPUs, want %d", len(cpus), n)
	}
	return tids, nil
}
