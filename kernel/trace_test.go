// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"testing"

	"mllb/features"
	"mllb/mlp"
)

// printk is the format of the tracepoint's lines, and the names of its fields in
// the order in which it prints them.
func printk(t testing.TB) (format string, names []string) {
	t.Helper()
	text, err := os.ReadFile("src/sched_mllb_trace.h")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?s)TP_printk\("([^"]*)",(.*?)\n\);`).FindSubmatch(text)
	if m == nil {
		t.Fatal("no TP_printk")
	}
	format = regexp.MustCompile(`%(llu|lld|u|d)`).ReplaceAllString(string(m[1]), "%d")
	for _, e := range regexp.MustCompile(`__entry->(\w+)`).FindAllSubmatch(m[2], -1) {
		names = append(names, string(e[1]))
	}
	return format, names
}

// traceLine is what the kernel would print.
func traceLine(t testing.TB, d *features.Decision, rule, net int, logit int32, fixed int, model uint32) string {
	t.Helper()
	format, names := printk(t)
	c := factsOf(d)
	values := map[string]any{
		"pid": 7, "src_cpu": d.SrcCPU, "dst_cpu": d.DstCPU, "src_nid": c.SrcNode, "dst_nid": c.DstNode, "preferred_nid": c.Preferred,
		"idle": c.Idle, "same_smt": c.SameSMT, "src_nr_running": c.SrcNrRunning, "src_nr_preferred": c.SrcNrPreferred,
		"dst_nr_running": c.DstNrRunning, "src_len": c.SrcLen, "dst_len": c.DstLen, "src_load": c.SrcLoad, "dst_load": c.DstLoad,
		"nr_balance_failed": c.NrBalanceFailed, "cache_nice_tries": c.NiceTries, "next_buddy": c.NextBuddy, "delta": c.Delta,
		"migration_cost": c.MigrationCost, "has_faults": c.HasFaults, "src_faults": c.SrcFaults, "dst_faults": c.DstFaults,
		"total_faults": c.Total, "rule": rule, "net": net, "logit": logit, "fixed": fixed, "model": model,
	}
	var args []any
	for _, name := range names {
		v, ok := values[name]
		if !ok {
			t.Fatalf("TP_printk: %s", name)
		}
		args = append(args, v)
	}
	return "          <idle>-0       [003] d.s2.    12.345678: sched_mllb_decision: " + fmt.Sprintf(format, args...) + "\n"
}

// kernelTrace is a trace of n decisions by the model, as a kernel writes it.
func kernelTrace(t testing.TB, m *mlp.Model, n int) string {
	t.Helper()
	net, err := mlp.NewFixed(m)
	if err != nil {
		t.Fatal(err)
	}
	crc, err := checksum(m)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(12, 13))
	bounds := m.Bounds()
	var b strings.Builder
	b.WriteString("# tracer: nop\n# entries-in-buffer/entries-written: 100/103   #P:16\n")
	for range n {
		d := ordinaryDecision(rng)
		var v features.Vector
		m.Set.Fill(&v, d)
		logit, answer := net.Logit(&v), 0
		if net.Migrate(logit) {
			answer = 1
		}
		if !bounds.InRange(&v) {
			logit, answer = 0, Unasked
		}
		b.WriteString(traceLine(t, d, rng.IntN(2), answer, logit, 1, crc))
	}
	return b.String()
}

func testModel(t testing.TB) *mlp.Model {
	t.Helper()
	set, err := features.Lookup("locality17")
	if err != nil {
		t.Fatal(err)
	}
	return ordinaryModel(set, rand.New(rand.NewPCG(14, 15)))
}

func TestJudge(t *testing.T) {
	m := testModel(t)
	const n = 500
	trace := kernelTrace(t, m, n) + "CPU:3 [LOST 12 EVENTS]\n   sh-1 [000] ..... 1.0: sched_switch: prev=1\n"
	v, err := Judge(strings.NewReader(trace), m)
	if err != nil {
		t.Fatal(err)
	}
	if v.Decisions != n || v.Integers+v.Outside != n || v.Outside == 0 || v.Wrong != 0 || v.Lost != 15 || v.Other != 1 || v.Verdicts.Rows() != v.Integers {
		t.Errorf("%+v", v)
	}
	if v.Verdicts.N[0][1] == 0 || v.Verdicts.N[1][1] == 0 {
		t.Errorf("no variety: %v", v.Verdicts.N)
	}
}

// TestJudgeNotices changes one thing in a trace at a time.
func TestJudgeNotices(t *testing.T) {
	m := testModel(t)
	trace := kernelTrace(t, m, 200)
	change := func(old, by string) string {
		at := regexp.MustCompile(old).FindStringSubmatchIndex(trace)
		if at == nil {
			t.Fatalf("no %s in the trace", old)
		}
		return trace[:at[2]] + by + trace[at[3]:]
	}
	for name, changed := range map[string]string{
		"logit":   change(`net=1 logit=(\d+)`, "1"),
		"verdict": change(`net=(1)`, "0"),
		"range":   change(`net=(-1)`, "1"),
		"outside": change(`net=(1)`, "-1"),
		"load":    change(`src_load=(\d+).*net=[01]`, "1"),
	} {
		v, err := Judge(strings.NewReader(changed), m)
		if err != nil || v.Wrong != 1 || v.First == nil {
			t.Errorf("%s: %v, %+v", name, err, v)
		}
	}
	if _, err := Judge(strings.NewReader(change(`model=(\w+)`, "1")), m); !errors.Is(err, errModel) {
		t.Errorf("another model: %v", err)
	}
	if _, err := Judge(strings.NewReader("# tracer: nop\n"), m); err == nil {
		t.Error("an empty trace is no error")
	}
	v, err := Judge(strings.NewReader(change(`fixed=(1)`, "0")), m)
	if err != nil || v.Floats+v.Outside == 0 || v.Wrong != 0 {
		t.Errorf("floats: %v, %+v", err, v)
	}
}

func TestReadTraceRefuses(t *testing.T) {
	line := kernelTrace(t, testModel(t), 1)
	for want, changed := range map[string]string{
		"line 3: rule: 2 is not in 0..1":                   regexp.MustCompile(`rule=\d`).ReplaceAllString(line, "rule=2"),
		`line 3: "comm": no such field`:                    strings.Replace(line, " pid=", " comm=", 1),
		"line 3: pid: twice":                               strings.Replace(line, " src_cpu=", " pid=", 1),
		"line 3: src_nid: 4096 is not in -1..1023":         regexp.MustCompile(`src_nid=\d`).ReplaceAllString(line, "src_nid=4096"),
		`line 3: logit: strconv.ParseInt: parsing "": inv`: regexp.MustCompile(`logit=-?\d+`).ReplaceAllString(line, "logit="),
		"line 3: model: missing":                           regexp.MustCompile(`model=\w+`).ReplaceAllString(line, ""),
	} {
		_, err := ReadTrace(strings.NewReader(changed), func(*Traced) error { return nil })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func FuzzReadTrace(f *testing.F) {
	f.Add([]byte(kernelTrace(f, testModel(f), 2)))
	f.Add([]byte("CPU:0 [LOST 99999999999 EVENTS]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		n := 0
		got, err := ReadTrace(bytes.NewReader(data), func(d *Traced) error {
			n++
			if len(d.TaskFaults) > maxNode+1 {
				t.Errorf("%d nodes", len(d.TaskFaults))
			}
			return nil
		})
		if err == nil && got.Decisions != n {
			t.Errorf("%d decisions, %d calls", got.Decisions, n)
		}
	})
}
