// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// result is what a program makes of files, arguments and output.
func result(t *testing.T, f func(string, []string, string) (string, error), args, stdout string, files ...string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(dir, files[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return f(dir, strings.Fields(args), stdout)
}

func TestFerret(t *testing.T) {
	const args = "corel lsh queries 5 5 4 out"
	first, err := result(t, queriesOf, args, "", "queries/a", "", "queries/b", "", "out", "a\t1\nb\t2\n")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := result(t, queriesOf, args, "", "queries/a", "", "queries/b", "", "out", "b\t2\na\t1\n"); err != nil || again != first {
		t.Errorf("in another order: %v", err)
	}
	if other, err := result(t, queriesOf, args, "", "queries/a", "", "queries/b", "", "out", "b\t2\na\t3\n"); err != nil || other == first {
		t.Errorf("another answer is the same: %v", err)
	}
	if _, err := result(t, queriesOf, args, "", "queries/a", "", "queries/b", "", "out", "a\t1\n"); err == nil || !strings.Contains(err.Error(), "1 of 2 queries") {
		t.Error(err)
	}
	if _, err := result(t, queriesOf, args, "", "queries/a", ""); err == nil {
		t.Error("no output is enough")
	}
}

func TestFreqmine(t *testing.T) {
	const out = "transaction number is 10\n7\n3\n"
	const end = "the data preparation cost 0.01 seconds, the FPgrowth cost 0.02 seconds\n"
	first, err := result(t, itemsetsOf, "", out+end)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := result(t, itemsetsOf, "", out+strings.ReplaceAll(end, "0.0", "9.9")); err != nil || again != first {
		t.Errorf("another time: %v", err)
	}
	if other, err := result(t, itemsetsOf, "", strings.Replace(out, "7", "8", 1)+end); err != nil || other == first {
		t.Errorf("other counts are the same: %v", err)
	}
	for _, bad := range []string{out, end, ""} {
		if _, err := result(t, itemsetsOf, "", bad); err == nil {
			t.Errorf("%q is enough", bad)
		}
	}
}

func TestSwaptions(t *testing.T) {
	const a, b = "Swaption 0: [SwaptionPrice: 96.68 StdError: 0.02] \n", "Swaption 1: [SwaptionPrice: 1.15 StdError: 3.9e-05] \n"
	first, err := result(t, swaptionsOf, "-ns 2 -sm 5 -nt 2", "head\n"+a+b)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := result(t, swaptionsOf, "-ns 2 -sm 5 -nt 1", b+a); err != nil || again != first {
		t.Errorf("in another order: %v", err)
	}
	if other, err := result(t, swaptionsOf, "-ns 2 -sm 5 -nt 2", a+strings.Replace(b, "1.15", "1.16", 1)); err != nil || other == first {
		t.Errorf("another price is the same: %v", err)
	}
	if _, err := result(t, swaptionsOf, "-ns 2 -sm 5 -nt 2", a+a); err == nil || !strings.Contains(err.Error(), "no price for swaption 1 of 2") {
		t.Error(err)
	}
	if _, err := result(t, swaptionsOf, "-sm 5", a); err == nil {
		t.Error("no number of swaptions is enough")
	}
}

func TestDedup(t *testing.T) {
	const args = "-c -p -t 4 -i in -o out"
	first, err := result(t, streamOf, args, "", "out", "packed")
	if err != nil {
		t.Fatal(err)
	}
	if other, err := result(t, streamOf, args, "", "out", "pocked"); err != nil || other == first {
		t.Errorf("another stream is the same: %v", err)
	}
	if _, err := result(t, streamOf, args, "", "out", ""); err == nil || !strings.Contains(err.Error(), "out is empty") {
		t.Error(err)
	}
	for _, bad := range []string{"-c -o", "-c", args} { // the last: no file
		if _, err := result(t, streamOf, bad, ""); err == nil {
			t.Errorf("%s: no output is enough", bad)
		}
	}
}

// FuzzOutputs has what programs print parsed: never a result of nothing.
func FuzzOutputs(f *testing.F) {
	f.Add("Swaption 0: [SwaptionPrice: 96.68 StdError: 0.02] \n")
	f.Add("transaction number is 10\nthe data preparation cost 0.01 seconds, the FPgrowth cost 0.02 seconds\n")
	f.Add("] cpu 15000 \nTime: 1.0\nRequest Latencies percentiles (usec)\n* 99.0th: 11111 ")
	f.Fuzz(func(t *testing.T, out string) {
		if _, err := swaptionsOf("", []string{"-ns", "1"}, out); err == nil && !strings.Contains(out, "Swaption 0:") {
			t.Error("a price of nothing")
		}
		if _, err := itemsetsOf("", nil, out); err == nil && !strings.Contains(out, "FPgrowth") {
			t.Error("sets of nothing")
		}
		if err := stressDone(7, 0)([]byte(out)); err == nil && !strings.Contains(out, "7") {
			t.Error("seven operations of nothing")
		}
		if us, err := requestLatency([]byte(out)); err == nil && !(us >= 0) {
			t.Errorf("a latency of %v", us)
		}
	})
}
