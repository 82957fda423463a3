// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"fmt"

	"github.com/cilium/ebpf"
)

// Counters account for every call of can_migrate_task() since the probes were
// complete. They are counted in the kernel.
type Counters struct {
	Calls    uint64
	Records  uint64 // put into the ring
	Filtered uint64 // left out on purpose
	Full     uint64 // lost: the ring was full
	Unpaired uint64 // lost: its return was not seen
	Missed   uint64 // lost: its entry was not seen (the kernel's recursion_misses)
}

// Drops is the number of calls that were lost, for whatever reason.
func (c Counters) Drops() uint64 { return c.Full + c.Unpaired + c.Missed }

// Check returns an error unless every call is accounted for. It holds once the
// probes are off and no call is under way.
func (c Counters) Check() error {
	if c.Calls != c.Records+c.Filtered+c.Drops() {
		return fmt.Errorf("%d calls are not %d records + %d filtered + %d drops", c.Calls, c.Records, c.Filtered, c.Drops())
	}
	return nil
}

// readSlots adds up what every CPU counted, and says how many calls are under way.
func readSlots(slots *ebpf.Map) (sum Counters, under int, err error) {
	var all []fentryMllbSlot
	if err := slots.Lookup(uint32(0), &all); err != nil {
		return sum, 0, fmt.Errorf("read the counters: %w", err)
	}
	for i := range all {
		s := &all[i]
		sum.Calls += s.Calls
		sum.Records += s.Records
		sum.Filtered += s.Filtered
		sum.Full += s.Drops
		sum.Unpaired += s.Lost
		if s.State != 0 {
			under++
		}
	}
	return sum, under, nil
}
