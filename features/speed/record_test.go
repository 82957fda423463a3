// SPDX-License-Identifier: Apache-2.0

package speed

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"
)

var (
	record  = flag.String("record", "", "record a trace of this host in `FILE`")
	seconds = flag.Int("record-seconds", 300, "for how long")
)

// traceEvery is how far apart the samples of a trace are.
const traceEvery = 100 * time.Millisecond

// TestRecord writes testdata: for each CPU in turn a line of the rate, in thousandths of
// the highest, and the lateness in microseconds, every traceEvery.
func TestRecord(t *testing.T) {
	if *record == "" {
		t.Skip("no -record")
	}
	runtime.LockOSThread()
	w, err := newWorker(calibrate(), runtime.NumCPU())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	cpus, most := runtime.NumCPU(), 0.
	var all []Sample
	for start, i := time.Now(), 0; i < *seconds*int(time.Second/traceEvery)*cpus; i++ {
		at := start.Add(time.Duration(i) * traceEvery / time.Duration(cpus))
		s, err := w.Sample(Look{CPU: i % cpus, After: max(time.Millisecond, time.Until(at)), Work: true})
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, s.Rate)
		all = append(all, s)
	}
	f, err := os.Create(*record)
	if err != nil {
		t.Fatal(err)
	}
	b := bufio.NewWriter(f)
	fmt.Fprintf(b, "cpus %d\n", cpus)
	for _, s := range all {
		fmt.Fprintf(b, "%.0f %d\n", 1000*s.Rate/most, s.Late.Microseconds())
	}
	if err := b.Flush(); err != nil {
		t.Fatal(err)
	}
}
