// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mllb/internal/namedfile"
	"mllb/internal/number"
	"mllb/internal/procfile"
	"mllb/topology/probe"
)

// Fact is what was found out about the host beside the runs: a file of text in the
// result directory, which the report shows.
type Fact struct {
	Title string `json:"title"`
	Text  string `json:"text"`
}

// The files of facts, which mllb prove writes.
const (
	CheckFile      = "check.txt"
	TopologyFile   = "topology.txt"
	ContentionFile = "contention.txt"
)

var factFiles = []struct{ name, title string }{
	{CheckFile, "What works here: mllbd check"},
	{TopologyFile, "What the CPUs share: mllb topology --probe"},
	{ContentionFile, "Contention: how steady the CPUs are"},
}

func loadFacts(dir string) (facts []Fact, err error) {
	for _, f := range factFiles {
		b, err := namedfile.ReadFile(filepath.Join(dir, f.name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		facts = append(facts, Fact{f.title, string(b)})
	}
	return facts, nil
}

// printableLines is text from elsewhere, with its lines.
func printableLines(text string) string {
	lines := strings.Split(strings.ReplaceAll(text, "\t", "    "), "\n")
	for i := range lines {
		lines[i] = printable(lines[i])
	}
	return strings.Join(lines, "\n")
}

// Contention has each CPU do a piece of work so many times while the others are idle,
// and says how much less than at best it did: what a neighbour on the same core or host
// takes is in no counter.
func Contention(ctx context.Context, looks int) (string, error) {
	live, err := probe.OpenLive()
	if err != nil {
		return "", err
	}
	defer live.Close()
	w, err := newWatch(ctx, live, 1, time.Minute)
	if err != nil {
		return "", err
	}
	before, start := files("/").cpuTime(), time.Now()
	all := make([][]float64, len(w.cpus))
	for range looks {
		rates, err := w.look(ctx)
		if err != nil {
			return "", err
		}
		for k, rate := range rates {
			all[k] = append(all[k], rate)
		}
	}
	return contentionText(w.cpus, all) + stolen(before, files("/").cpuTime(), time.Since(start)) + files("/").pressure(), nil
}

func contentionText(cpus []int, all [][]float64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Each CPU did the same work %d times, while the others were idle: as a share of what it did at best.\n\n%6s %8s %8s\n", len(all[0]), "CPU", "median", "least")
	for k, cpu := range cpus {
		best := slices.Max(all[k])
		fmt.Fprintf(&b, "%6d %8.2f %8.2f\n", cpu, float64(median(all[k]))/best, slices.Min(all[k])/best)
	}
	b.WriteString("\nA CPU that at times does clearly less shares a core, or its time, with something else.\n")
	return b.String()
}

// stolen says what the hypervisor took meanwhile.
func stolen(before, after procfile.CPUTime, d time.Duration) string {
	share := number.Share(after.Steal-before.Steal, after.Total-before.Total)
	return fmt.Sprintf("Of the CPU time in these %.0f s, the hypervisor stole %s.\n", d.Seconds(), percent(share))
}

func (f files) cpuTime() procfile.CPUTime {
	t, _ := procfile.ParseCPUTime([]byte(f.line("proc/stat"))) // 0 where the kernel says nothing sensible
	return t
}

// pressure is that of the CPUs (PSI), if the kernel has it, and the load average.
func (f files) pressure() string {
	text := "Load average: " + f.line("proc/loadavg") + "\n"
	if psi := f.line("proc/pressure/cpu"); psi != "" {
		text += "Pressure of the CPUs:\n" + psi + "\n"
	}
	return text
}
