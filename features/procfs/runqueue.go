// SPDX-License-Identifier: Apache-2.0

package procfs

import "mllb/features"

// fillRunqueues completes a snapshot whose threads are all there: with the
// blocks of the debug file, or without them from the threads alone.
func (r *Reader) fillRunqueues(s *features.Snapshot) {
	r.sizeRunqueues(s)
	if len(r.blocks) > 0 {
		r.fillFromBlocks(s)
	} else {
		r.fillFromThreads(s)
	}
	for i := range s.Threads {
		t := &s.Threads[i]
		q := &s.Runqueues[t.CPU]
		// A thread that ran after the clock was read has only just run.
		if clock := q.Clock; clock > r.execStart[i] {
			t.Delta = int64(clock - r.execStart[i])
		}
		// As account_numa_enqueue; tasks of delayed dequeue (6.12), which
		// sleep but are still queued, are not seen.
		if t.Queued() && fair(t.Policy) && t.PreferredNode != features.NoNode {
			q.NrNUMARunning++
			if t.PreferredNode == r.nodeOf(t.CPU) {
				q.NrPreferredRunning++
			}
		}
	}
}

// sizeRunqueues makes s.Runqueues cover every possible CPU, and any other that
// something names.
func (r *Reader) sizeRunqueues(s *features.Snapshot) {
	n := max(len(s.Runqueues), r.possible)
	for cpu := range r.online.All() {
		n = max(n, cpu+1)
	}
	for i := range r.blocks {
		n = max(n, r.blocks[i].cpu+1)
	}
	for i := range s.Threads {
		n = max(n, int(s.Threads[i].CPU)+1)
	}
	for len(s.Runqueues) < n {
		s.Runqueues = append(s.Runqueues, features.Runqueue{})
	}
	for cpu := range r.online.All() {
		s.Runqueues[cpu].Online = true
	}
}

func (r *Reader) fillFromBlocks(s *features.Snapshot) {
	r.curr = append(r.curr[:0], make([]int32, len(s.Runqueues))...)
	for i := range r.blocks {
		k := &r.blocks[i]
		q := &s.Runqueues[k.cpu]
		q.NrRunning, q.NrQueued, q.LoadAvg, q.Clock = k.running, k.queued, k.loadAvg, k.clock
		if r.online == nil {
			q.Online = true
		}
		r.curr[k.cpu] = k.curr
	}
	for i := range s.Threads {
		t := &s.Threads[i]
		// One that has gone to sleep or elsewhere since is not running.
		t.Running = t.Queued() && r.curr[t.CPU] == t.TID
	}
}

// fillFromThreads makes up what debugfs would have said: the queue is what is
// in state R, its load that of those threads, and the clock the newest
// exec_start, which every tick sets for whatever runs (update_curr). The
// queued thread that has it is taken to be running.
func (r *Reader) fillFromThreads(s *features.Snapshot) {
	r.curr = append(r.curr[:0], make([]int32, len(s.Runqueues))...)
	newest := make([]uint64, len(s.Runqueues))
	for i := range s.Threads {
		t := &s.Threads[i]
		q := &s.Runqueues[t.CPU]
		q.Online = q.Online || r.online == nil
		q.Clock = max(q.Clock, r.execStart[i])
		if !t.Queued() {
			continue
		}
		q.NrRunning++
		if fair(t.Policy) {
			q.NrQueued++
			q.LoadAvg += t.Load
		}
		if r.execStart[i] >= newest[t.CPU] {
			newest[t.CPU], r.curr[t.CPU] = r.execStart[i], int32(i)+1
		}
	}
	for _, i := range r.curr {
		if i > 0 {
			s.Threads[i-1].Running = true
		}
	}
}

// fair reports whether the policy is one of the fair class.
func fair(policy uint8) bool {
	return policy == features.SchedOther || policy == features.SchedBatch || policy == features.SchedIdle
}
