// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"unsafe"

	"mllb/features"
)

// Where the fields of a runqueue's slot are (mllb.h).
const (
	offPass        = unsafe.Offsetof(threadsMllbRq{}.Pass)
	offClock       = unsafe.Offsetof(threadsMllbRq{}.Clock)
	offRQ          = unsafe.Offsetof(threadsMllbRq{}.Rq)
	offLoadAvg     = unsafe.Offsetof(threadsMllbRq{}.LoadAvg)
	offNrRunning   = unsafe.Offsetof(threadsMllbRq{}.NrRunning)
	offNrQueued    = unsafe.Offsetof(threadsMllbRq{}.NrQueued)
	offNrPreferred = unsafe.Offsetof(threadsMllbRq{}.NrPreferred)
	offNrNUMA      = unsafe.Offsetof(threadsMllbRq{}.NrNuma)
	offOnline      = unsafe.Offsetof(threadsMllbRq{}.Online)
	offSelf        = unsafe.Offsetof(threadsMllbRq{}.Self)
	offDelayed     = unsafe.Offsetof(threadsMllbRq{}.Delayed)
	offNowDelayed  = unsafe.Offsetof(threadsMllbRq{}.NowDelayed)
	offNowRunning  = unsafe.Offsetof(threadsMllbRq{}.NowRunning)
	offNowQueued   = unsafe.Offsetof(threadsMllbRq{}.NowQueued)
	offNowOnline   = unsafe.Offsetof(threadsMllbRq{}.NowOnline)
	offNowSelf     = unsafe.Offsetof(threadsMllbRq{}.NowSelf)
	rqSize         = int(unsafe.Sizeof(threadsMllbRq{}))
)

// decodeRunqueues fills rqs from as many slots of the map. The newest pass is
// the one with the greatest number (session ids only grow), and it has met at
// least the CPU of the thread that read it.
func decodeRunqueues(b []byte, rqs []features.Runqueue) {
	pass := newest(b)
	for i := range rqs {
		f := (*[rqSize]byte)(b[i*rqSize:])
		if u64(f[offPass:]) != pass || u32(f[offOnline:]) == 0 {
			rqs[i] = features.Runqueue{}
			continue
		}
		rqs[i] = features.Runqueue{
			Online:             true,
			NrRunning:          u32(f[offNrRunning:]),
			NrQueued:           u32(f[offNrQueued:]),
			NrPreferredRunning: u32(f[offNrPreferred:]),
			NrNUMARunning:      u32(f[offNrNUMA:]),
			LoadAvg:            u64(f[offLoadAvg:]),
			Clock:              u64(f[offClock:]),
		}
	}
}

// newest returns the number of the last pass that wrote any slot.
func newest(b []byte) (pass uint64) {
	for ; len(b) >= rqSize; b = b[rqSize:] {
		pass = max(pass, u64(b[offPass:]))
	}
	return pass
}

// unchanged reports whether every slot's CPU has as many threads now as the
// last pass saw, whoever took either reading and sleepers not dequeued yet aside, and is online as it was.
// That some are not fair must not have changed either; of those the reader may
// be one, which then only costs a snapshot too many.
func unchanged(b []byte) bool {
	pass, online := newest(b), false
	for ; len(b) >= rqSize; b = b[rqSize:] {
		f := (*[rqSize]byte)(b)
		was := u64(f[offPass:]) == pass && u32(f[offOnline:]) != 0
		if was != (u32(f[offNowOnline:]) != 0) {
			return false
		}
		if !was {
			continue
		}
		online = true
		then, now := u32(f[offNrRunning:]), u32(f[offNowRunning:])
		awake, stillAwake := then-u32(f[offSelf:])-u32(f[offDelayed:]), now-u32(f[offNowSelf:])-u32(f[offNowDelayed:])
		if awake != stillAwake || then-u32(f[offNrQueued:]) != now-u32(f[offNowQueued:]) {
			return false
		}
	}
	return online
}
