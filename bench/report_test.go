// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"mllb/bench/measure"
	"mllb/internal/runreport"
	"mllb/topology"
)

// sampleRun is a made-up benchmark: own is 10 % slower on one workload, idle never
// does anything, the program beside ends early now and then, and one run failed.
func sampleRun(t testing.TB) (Head, []Record) {
	t.Helper()
	arms, err := ParseArms([]string{"stock", "own", "idle=assist", "numad=with:numad -F", "kernel:shadow"})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Arms: arms, Runs: 10, Warmup: 1, Seed: 3, Workloads: []Workload{{Name: "fibo", Argv: []string{"mllb", "fibo"}}, {Name: "spin", Argv: []string{"mllb", "spin", "--threads", "4"}, Unit: "us"}}}
	h := testHead(cfg)
	h.Machine.CPU, h.Machine.CPUs, h.Machine.Governor = "AMD EPYC", 2, []string{"powersave"}
	h.Notes = h.Machine.Warnings()
	h.Skipped = []Skipped{{"dedup", "PARSEC 3.0 is missing: --parsec says where it is"}}
	rng := rand.New(rand.NewPCG(1, 2))
	var records []Record
	for i, s := range cfg.Slots() {
		r := Record{Slot: s, Started: h.Started.Add(time.Duration(i) * time.Second)}
		r.Wall = 4 + 0.05*rng.Float64()
		if s.Arm == "own" && s.Workload == "fibo" {
			r.Wall *= 1.1
		}
		if s.Workload == "spin" { // for a fixed time; its latency is the figure
			score := 100 * r.Wall
			r.Score, r.Wall = &score, 10
		}
		r.User, r.System = 1.9*r.Wall, 0.01
		r.Sample = &measure.Sample{Wall: time.Duration(r.Wall * 1e9), By: "bpf", HasQueues: true, HasMigrations: true, HasRunDelay: true,
			MaxImbalance: []uint32{1, uint32(i % 3), 2}, Lengths: []uint64{5, 60, 30, 4, 0, 1}, RunDelay: time.Second + time.Duration(i)*time.Millisecond,
			Voluntary: 900, Involuntary: uint64(100 + i), Migrations: [topology.NumLevels]uint64{0, uint64(20 + i%5), 0, 3}}
		r.Sample.Reactions = reactions(s.Arm == "own", i)
		sampleArm(&r, cfg.Arm(s.Arm), i)
		records = append(records, r)
	}
	records[len(records)-1].Failed = "exit status 1: \x1b[2J<script>"
	return h, records
}

// reactions of stock, or late ones; in some runs nothing was pulled.
func reactions(late bool, i int) *measure.Reactions {
	var pulled measure.Recorder
	for k := range i % 4 {
		d := time.Duration(5+k) * time.Microsecond
		if late {
			d *= 1000
		}
		pulled.Add(d)
	}
	return &measure.Reactions{Pulled: pulled.Histogram(), Otherwise: 3, Wasted: time.Duration(i) * time.Microsecond}
}

func sampleArm(r *Record, a *Arm, i int) {
	switch a.Kind {
	case Daemon:
		r.Daemon = &runreport.Report{Seconds: r.Wall, CPUSeconds: 0.004 * r.Wall}
		if a.Mode == "own" {
			r.Daemon.Asked, r.Daemon.Approved = map[string]uint64{"llc": 12}, map[string]uint64{"llc": 10}
			r.Daemon.Moved, r.Daemon.HeldInPlace = map[string]uint64{"llc": 9}, 8
		}
	case With:
		r.Companion = &Companion{Seconds: 5, CPUSeconds: 0.1, Stayed: true}
	case Kernel:
		r.Kernel = &KernelCounts{Both: [2][2]uint64{{5, 1}, {0, uint64(50 + i%4)}}}
	}
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got; -update writes it anew):\n%s", path, diff)
	}
}

func TestLabNotes(t *testing.T) {
	for _, tt := range []struct {
		env  map[string]string
		want string
	}{
		{nil, ""},
		{map[string]string{"MLLB_LAB": "1"}, "counts are valid, times are not"},
		{map[string]string{"MLLB_LAB": "1", "MLLB_LAB_CPUS": "1x2x2 told as 1x4x1"}, "guest of the lab, 1x2x2 told as 1x4x1: counts are valid; times are not, but for ratios"},
	} {
		got := strings.Join(labNotes(func(key string) string { return tt.env[key] }), "\n")
		if !strings.Contains(got, tt.want) || (got == "") != (tt.want == "") {
			t.Errorf("%v: %q, want %q", tt.env, got, tt.want)
		}
	}
}

func TestReportText(t *testing.T) {
	h, records := sampleRun(t)
	r := newReport(h, records)
	var b bytes.Buffer
	if err := r.Draw(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.txt", b.Bytes())
	if strings.ContainsRune(b.String(), '\x1b') {
		t.Error("an escape sequence reaches the terminal")
	}
	other := newReport(h, records[:len(records)/2])
	r.Dir, other.Dir = "/results/first", "second/"
	other.Machine.Kernel = "6.1"
	other.Workloads = other.Workloads[:1]
	b.Reset()
	if err := Compare([]*Report{r, other}).Draw(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "compare.txt", b.Bytes())
}

// TestReportReads reads a directory whose files have the names that earlier
// versions gave to commands, effects and companions.
func TestReportReads(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/results")); err != nil {
		t.Fatal(err)
	}
	r, err := Write(dir)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := r.Draw(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "results.txt", b.Bytes())
}

// The order in which runs were recorded is no matter.
func TestReportIsOfTheSet(t *testing.T) {
	h, records := sampleRun(t)
	text := func(r []Record) string {
		var b bytes.Buffer
		if err := newReport(h, r).Draw(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	want := text(records)
	rand.New(rand.NewPCG(4, 4)).Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	if diff := cmp.Diff(want, text(records)); diff != "" {
		t.Error(diff)
	}
}

// The page stands alone, has its figures, each whole, and what a file says stays text.
func TestReportHTML(t *testing.T) {
	h, records := sampleRun(t)
	h.Machine.Host = `<img src=x>`
	r := newReport(h, records)
	r.Latency = []measure.Latency{{Kernel: "6.12", Functions: []measure.Function{
		{Name: "can_migrate_task", By: "fentry", Histogram: measure.Histogram{Count: 3, Buckets: []measure.Bucket{{From: 100, To: 200, N: 2}, {From: 400, To: 800, N: 1}}}}}}}
	var page bytes.Buffer
	if err := r.HTML(&page); err != nil {
		t.Fatal(err)
	}
	// 4 and 7, and for each of two workloads 5 and 6.
	if n := strings.Count(page.String(), "<figure><svg"); n != 6 {
		t.Errorf("%d figures", n)
	}
	for _, bad := range []string{"<script", "<img", "\x1b", "@import", "NaN", "ZgotmplZ", "%!", "+Inf"} {
		if strings.Contains(page.String(), bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	if refs := regexp.MustCompile(`(?:src|href)\s*=\s*"[^"]*"|url\([^)]*\)`).FindAllString(page.String(), -1); len(refs) > 0 {
		t.Errorf("the page refers to %q", refs)
	}
	for _, want := range []string{"figure 4", "figure 5", "figure 6", "figure 7", "slower", "no-op", "Skipped dedup", "powersave", "can_migrate_task", "migrations<br>llc", "failed: exit status 1: ?[2J&lt;script&gt;"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	pictures, err := r.pictures()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pictures {
		wellFormed(t, p)
	}
	page.Reset()
	if err := Compare([]*Report{r, r}).HTML(&page); err != nil || strings.Contains(page.String(), "<img") || !strings.Contains(page.String(), "geometric mean") {
		t.Errorf("%v\n%s", err, page.String())
	}
}

func wellFormed(t *testing.T, p picture) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(string(p.SVG)))
	for n := 0; ; n++ {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("%s: %v", p.Title, err)
		}
		if e, ok := token.(xml.StartElement); ok && n == 0 && e.Name.Local != "svg" {
			t.Errorf("%s: %s", p.Title, e.Name.Local)
		}
	}
}

// A report of nothing yet, or of what was not sampled, is still one.
func TestReportOfLittle(t *testing.T) {
	h, records := sampleRun(t)
	for i := range records {
		records[i].Sample = nil
	}
	for _, n := range []int{0, 1, 7, 23, len(records)} {
		r := newReport(h, records[:n])
		var page, text bytes.Buffer
		if err := errors.Join(r.HTML(&page), r.Draw(&text)); err != nil {
			t.Errorf("%d records: %v", n, err)
		}
		if s := page.String() + text.String(); strings.Contains(s, "NaN") || strings.Contains(s, "Inf") {
			t.Errorf("%d records: NaN or Inf", n)
		}
	}
}

// Write's three files hold the same runs.
func TestWrite(t *testing.T) {
	h, records := sampleRun(t)
	dir := t.TempDir()
	s, err := openStore(dir, h, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if err := s.append(r); err != nil {
			t.Fatal(err)
		}
	}
	s.close()
	if err := writeJSON(filepath.Join(dir, "latency-stock.json"), measure.Latency{Kernel: "6.12"}); err != nil {
		t.Fatal(err)
	}
	r, err := Write(dir)
	if err != nil || len(r.Latency) != 1 || r.Runs != 99 || r.Failed != 1 || r.Warmup != 10 {
		t.Fatalf("%v: %+v", err, r)
	}
	var back Report
	b, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil || json.Unmarshal(b, &back) != nil {
		t.Fatalf("report.json: %v", err)
	}
	c := back.workload("fibo").arm("own").Values["time"].Against
	if c.Verdict != More || c.Ratio < 1.08 || c.Ratio > 1.12 || back.Means[0].Ratio < 1.03 || back.RunMeans[0].Lo < 1.03 || back.workload("fibo").arm("own").Mean.Lo < 1.08 {
		t.Errorf("%+v, %+v, %+v", *c, back.Means, back.RunMeans)
	}
	if back.workload("fibo").arm("stock").Effects.Asked.Known() {
		t.Error("null did not stay unknown")
	}
	rows, err := parquet.ReadFile[rawRow](filepath.Join(dir, "runs.parquet"))
	if err != nil || len(rows) != len(records) {
		t.Fatalf("runs.parquet: %v, %d rows", err, len(rows))
	}
	for i, row := range rows {
		if diff := cmp.Diff(newRawRow(&records[i]), row); diff != "" {
			t.Fatalf("row %d (-want +got):\n%s", i, diff)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.tmp")); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}
