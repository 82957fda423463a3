// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// told is a QEMU that says the same whatever it is asked.
type told struct {
	io.Reader
	asked bytes.Buffer
}

func (q *told) Write(p []byte) (int, error) { return q.asked.Write(p) }

const (
	greeting = `{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, "capabilities": ["oob"]}}` + "\n"
	granted  = `{"return": {}}` + "\n"
)

func TestCPUThreads(t *testing.T) {
	for _, tt := range []struct {
		name, answer string
		n            int
		want         []int
		err          string
	}{
		{name: "in any order", n: 2, want: []int{101, 100},
			answer: `{"return": [{"thread-id": 100, "cpu-index": 1, "target": "x86_64"}, {"thread-id": 101, "cpu-index": 0}]}`},
		{name: "after an event", n: 1, want: []int{7},
			answer: `{"timestamp": {"seconds": 1}, "event": "STOP"}` + "\r\n" + `{"return": [{"thread-id": 7, "cpu-index": 0}]}`},
		{name: "one thread for all", n: 2, err: "thread 7 of CPU 1: want one thread for each of 2 CPUs",
			answer: `{"return": [{"thread-id": 7, "cpu-index": 0}, {"thread-id": 7, "cpu-index": 1}]}`},
		{name: "a CPU too many", n: 1, err: "thread 8 of CPU 1: want one thread for each of 1 CPUs",
			answer: `{"return": [{"thread-id": 7, "cpu-index": 0}, {"thread-id": 8, "cpu-index": 1}]}`},
		{name: "a CPU missing", n: 2, err: "threads of 1 CPUs, want 2",
			answer: `{"return": [{"thread-id": 7, "cpu-index": 0}]}`},
		{name: "no thread", n: 1, err: "thread 0 of CPU 0", answer: `{"return": [{"cpu-index": 0}]}`},
		{name: "refused", n: 1, err: "QMP query-cpus-fast: not now", answer: `{"error": {"class": "GenericError", "desc": "not now"}}`},
		{name: "of another kind", n: 1, err: "QMP query-cpus-fast: json", answer: `{"return": {"a": 1}}`},
		{name: "no JSON", n: 1, err: "QMP query-cpus-fast: invalid", answer: `hello`},
		{name: "ended", n: 1, err: "QMP query-cpus-fast: EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := &told{Reader: strings.NewReader(greeting + granted + tt.answer)}
			got, err := newMonitor(q).cpuThreads(tt.n)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("%v, want %q", err, tt.err)
				}
				return
			}
			if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
			if asked := q.asked.String(); asked != `{"execute":"qmp_capabilities"}`+"\n"+`{"execute":"query-cpus-fast"}`+"\n" {
				t.Errorf("asked %q", asked)
			}
		})
	}
}

func FuzzMonitor(f *testing.F) {
	f.Add([]byte(greeting+granted+`{"return": [{"thread-id": 7, "cpu-index": 0}]}`), 1)
	f.Add([]byte(`{"error": {}}`), 2)
	f.Add([]byte(`[1]`), 0)
	f.Fuzz(func(t *testing.T, said []byte, n int) {
		if n < 0 || n > maxGuestCPUs {
			return
		}
		tids, err := newMonitor(&told{Reader: bytes.NewReader(said)}).cpuThreads(n)
		if err != nil {
			return
		}
		seen := map[int]bool{0: true}
		for _, tid := range tids {
			if seen[tid] {
				t.Errorf("%q: threads %v", said, tids)
			}
			seen[tid] = true
		}
		if len(tids) != n {
			t.Errorf("%q: %d threads of %d CPUs", said, len(tids), n)
		}
	})
}
