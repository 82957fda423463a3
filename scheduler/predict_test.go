// SPDX-License-Identifier: Apache-2.0

package scheduler_test

import (
	"fmt"
	"math"
	"slices"
	"time"

	"mllb/features"
	"mllb/scheduler"
	"mllb/scheduler/sim"
	"mllb/topology"
)

// arm is one way to balance a simulated machine.
type arm struct {
	name   string
	mode   scheduler.Mode
	real   bool // told the cores that there are
	speeds bool // told how fast each CPU is
}

var arms = []arm{
	{"stock", scheduler.Observe, false, false},
	{"assist by sysfs", scheduler.Assist, false, false},
	{"own by sysfs", scheduler.Own, false, false},
	{"own by speeds", scheduler.Own, false, true},
	{"assist by both", scheduler.Assist, true, true},
	{"own by both", scheduler.Own, true, true},
}

// predicted is a machine of four CPUs.
type predicted struct {
	name       string
	told, real string
	coRun      uint32
	slow       []int64 // CPU 3 is at 50 % from, until, in s
}

var predictions = []predicted{
	{"(a) stacked pairs, told flat", "1x4x1", "1x2x2", 532, nil},
	{"(b) the same, told the truth", "1x2x2", "1x2x2", 532, nil},
	{"(c) nothing hidden", "1x4x1", "1x4x1", 0, nil},
	{"(d) one CPU at 50 %", "1x4x1", "1x4x1", 0, []int64{0, 1000}},
	{"(d) from the 2nd to the 6th second", "1x4x1", "1x4x1", 0, []int64{2, 6}},
}

// run returns how long n threads of 8 s of work take.
func (x *predicted) run(a arm, n int, seed uint64) time.Duration {
	parse := func(desc string) *topology.Topology {
		topo, err := topology.Parse(desc)
		must(err)
		return topo
	}
	told, real := parse(x.told), parse(x.real)
	opt := sim.Options{Topology: told, Real: real, CoRun: x.coRun, Seed: seed, Kernel: true, Slice: 20 * time.Millisecond}
	cfg := scheduler.Config{Mode: a.mode, Hold: scheduler.HoldWorth}
	r := newRig(opt, cfg, scheduler.CFS{})
	if a.real {
		r.b.SetTopology(real)
	}
	if a.speeds {
		r.measure = r.host.Speeds
	}
	if a.mode == scheduler.Assist {
		r.lease = time.Second
	}
	for range n {
		r.host.Start(1, sim.Spec{CPU: sim.Anywhere, Work: 8 * time.Second})
	}
	took := time.Duration(0)
	for ; !r.host.Done(); took += tick {
		if len(x.slow) > 0 {
			speed := uint32(features.FullSpeed)
			if s := int64(took / time.Second); s >= x.slow[0] && s < x.slow[1] {
				speed /= 2
			}
			r.host.SetSpeed(3, speed)
		}
		if a.mode == scheduler.Observe {
			r.host.Step(tick)
		} else {
			r.tick(tick)
		}
	}
	return took
}

// What the simulator predicts of machines that are not what the kernel was told, where
// mllbd knows no more, or has measured speeds, or the true cores as well: the
// geometric mean of the times that equal threads take, in seconds under the stock
// scheduler and elsewhere to that, and the slowest tenth likewise. Equal threads that
// never sleep are the simplest of loads: nothing here says what others gain.
func Example_predictions() {
	const seeds = 20
	for i := range predictions {
		x := &predictions[i]
		fmt.Printf("%s\nthreads           ", x.name)
		loads := []int{1, 2, 3, 4, 6}
		for _, n := range loads {
			fmt.Printf(" %11d", n)
		}
		var stock [][2]float64
		for _, a := range arms {
			fmt.Printf("\n%-18s", a.name)
			for l, n := range loads {
				var took []float64
				for seed := range uint64(seeds) {
					took = append(took, x.run(a, n, seed).Seconds())
				}
				mean, slowest := summary(took)
				if a.mode == scheduler.Observe {
					stock = append(stock, [2]float64{mean, slowest})
					fmt.Printf("  %4.1f (%4.1f)", mean, slowest)
				} else {
					fmt.Printf("  %4.2f (%4.2f)", mean/stock[l][0], slowest/stock[l][1])
				}
			}
		}
		fmt.Print("\n\n")
	}
	// Output:
	// (a) stacked pairs, told flat
	// threads                      1           2           3           4           6
	// stock                8.0 ( 8.0)   9.4 (15.4)  15.4 (15.4)  15.4 (15.4)  23.1 (23.1)
	// assist by sysfs     1.00 (1.00)  1.00 (1.00)  1.00 (1.00)  1.00 (1.00)  1.00 (1.00)
	// own by sysfs        1.00 (1.00)  1.00 (1.00)  1.00 (1.00)  1.00 (1.00)  1.00 (1.00)
	// own by speeds       1.00 (1.00)  0.87 (0.58)  0.81 (0.81)  1.00 (1.00)  1.00 (1.00)
	// assist by both      1.00 (1.00)  0.85 (0.53)  0.78 (0.78)  1.00 (1.00)  1.00 (1.00)
	// own by both         1.00 (1.00)  0.85 (0.53)  0.78 (0.78)  1.00 (1.00)  1.00 (1.00)
	//
	// (b) the same, told the truth
	// threads                      1           2           3           4           6
	// stock                8.0 ( 8.0)   8.0 ( 8.0)  11.9 (11.9)  15.4 (15.4)  23.1 (23.1)
	// assist by sysfs     1.00 (1.00)  1.00 (1.00)  1.00 (1.00)  1.00 (1.00)  1.00 (1.00)
	// own by sysfs        1.00 (1.00)  1.00 (1.00)  1.00 (1.00)  1.00 (1.00)  1.00 (1.00)
	// own by speeds       1.00 (1.00)  1.00 (1.00)  1.00 (1.00)  1.00 (1.00)  1.00 (1.00)
	// assist by both      1.00 (1.00)  1.00 (1.00)  1.00 (1.00)  1.00 (1.00)  1.00 (1.00)
	// own by both         1.00 (1.00)  1.00 (1.00)  1.00 (1.00)  1.00 (1.00)  1.00 (1.00)
	//
	// (c) nothing hidden
	// threads                      1           2           3           4           6
	// stock                8.0 ( 8.0)   8.0 ( 8.0)   8.0 ( 8.0)   8.0 ( 8.0)  12.0 (12.0)
	// assist by sysfs     1.00 (1.00)  1.00 (1.00)  1.00 (1.00)  1.00 (1.00)  1.00 (1.00)
	// own by sysfs        1.00 (1.00)  1.00 (1.00)  1.00 (1.00)  1.00 (1.00)  1.00 (1.00)
	// own by speeds       1.00 (1.00)  1.00 (1.00)  1.00 (1.00)  1.00 (1.00)  1.00 (1.00)
	// assist by both      1.00 (1.00)  1.00 (1.00)  1.00 (1.00)  1.00 (1.00)  1.00 (1.00)
	// own by both         1.00 (1.00)  1.00 (1.00)  1.00 (1.00)  1.00 (1.00)  1.00 (1.00)
	//
	// (d) one CPU at 50 %
	// threads                      1           2           3           4           6
	// stock                9.2 (16.0)  10.6 (16.0)  12.1 (16.0)  16.0 (16.0)  18.3 (20.0)
	// assist by sysfs     1.00 (1.00)  1.00 (1.00)  1.00 (1.00)  1.00 (1.00)  1.00 (1.00)
	// own by sysfs        1.00 (1.00)  1.00 (1.00)  1.00 (1.00)  1.00 (1.00)  1.00 (1.00)
	// own by speeds       0.89 (0.56)  0.79 (0.56)  0.71 (0.56)  0.78 (0.78)  0.81 (0.74)
	// assist by both      0.89 (0.56)  0.79 (0.56)  0.71 (0.56)  0.78 (0.78)  0.81 (0.74)
	// own by both         0.89 (0.56)  0.79 (0.56)  0.71 (0.56)  0.78 (0.78)  0.81 (0.74)
	//
	// (d) from the 2nd to the 6th second
	// threads                      1           2           3           4           6
	// stock                8.4 (10.0)   8.7 (10.0)   9.1 (10.0)  10.0 (10.0)  13.0 (13.0)
	// assist by sysfs     1.00 (1.00)  1.00 (1.00)  1.00 (1.00)  1.00 (1.00)  1.00 (1.00)
	// own by sysfs        1.00 (1.00)  1.00 (1.00)  1.00 (1.00)  1.00 (1.00)  1.00 (1.00)
	// own by speeds       0.98 (0.90)  0.96 (0.90)  0.94 (0.90)  1.00 (1.00)  1.02 (1.07)
	// assist by both      0.98 (0.90)  0.96 (0.90)  0.94 (0.90)  1.00 (1.00)  1.02 (1.07)
	// own by both         0.98 (0.90)  0.96 (0.90)  0.94 (0.90)  1.00 (1.00)  1.02 (1.07)
}

// summary returns the geometric mean, and that of the slowest tenth.
func summary(took []float64) (mean, slowest float64) {
	slices.Sort(took)
	of := func(took []float64) float64 {
		sum := 0.0
		for _, x := range took {
			sum += math.Log(x)
		}
		return math.Exp(sum / float64(len(took)))
	}
	return of(took), of(took[len(took)*9/10:])
}
