// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mllb/internal/number"

	"github.com/google/go-cmp/cmp"
)

const statsText = `cpu    stay/stay   stay/go   go/stay     go/go    -/stay      -/go   outside     float    no_fpu
0              1         0         0         0         0         0         0         0         0
1              1         2         3         4         5         6         7         0         0
all            2         2         3         4         5         6         7         0         0
`

func TestKernelCounts(t *testing.T) {
	got, err := parseCounts(statsText)
	want := KernelCounts{Both: [2][2]uint64{{2, 2}, {3, 4}}, Alone: [2]uint64{5, 6}, Outside: 7}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if got.asked() != 22 || got.since(want) != (KernelCounts{}) {
		t.Errorf("asked %d, since itself %+v", got.asked(), got.since(want))
	}
	for text, want := range map[string]string{"": `no line "all"`, "all 1 2": "has 2 numbers", "all 1 2 3 4 5 6 x": `parsing "x"`} {
		if _, err := parseCounts(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzParseCounts(f *testing.F) {
	f.Add(statsText)
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := parseCounts(text); err == nil && !strings.Contains(text, "all") {
			t.Errorf("%q has counts", text)
		}
	})
}

// In a kernel with the network every arm sets the mode it needs: all but the
// kernel's own are measured with it off.
func TestKernelArms(t *testing.T) {
	x := rig(t, "sh", "-c", "true")
	dir := t.TempDir()
	mode := filepath.Join(dir, "mode")
	x.kernel, x.before = kernelControl(dir), "shadow"
	for path, text := range map[string]string{mode: "off replace [shadow]\n", filepath.Join(dir, "stats"): statsText} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := x.kernel.mode(); err != nil || got != "shadow" || !x.kernel.present() {
		t.Errorf("%q, %v", got, err)
	}
	x.config.Arms = append(x.config.Arms, Arm{Name: "kernel:replace", Kind: Kernel, Mode: "replace"})
	for arm, want := range map[string]string{"stock": "off", "own": "off", "kernel:replace": "replace"} {
		rec, err := x.run(t.Context(), slot(arm))
		if err != nil || rec.Failed != "" || (rec.Kernel != nil) != (arm == "kernel:replace") {
			t.Fatalf("%s: %v, %+v", arm, err, rec)
		}
		if got, err := os.ReadFile(mode); err != nil || string(got) != want {
			t.Errorf("%s ran with the kernel's mode %q, %v", arm, got, err)
		}
	}
	// Killed between two runs: the next benchmark switches back, as the end does.
	running := filepath.Join(x.dir, runningFile)
	for name, undo := range map[string]func() error{"clean up": x.cleanUp, "close": x.close} {
		if err := errors.Join(x.idle(), x.kernel.set("replace"), undo()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got, err := os.ReadFile(mode); err != nil || string(got) != "shadow" {
			t.Errorf("%s: the mode is %q, %v", name, got, err)
		}
		if _, err := os.Stat(running); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: running.json is left: %v", name, err)
		}
	}
	if err := os.WriteFile(mode, []byte("off replace shadow"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := x.kernel.mode(); err == nil {
		t.Error("no mode holds")
	}
	if x.leaveOut(); len(x.Skipped) != 0 {
		t.Error(x.Skipped)
	}
	if x.kernel = "/no/such/place"; x.kernel.present() {
		t.Error("it is there")
	}
	if x.leaveOut(); len(x.Skipped) != 1 || x.Skipped[0].What != "kernel:replace" {
		t.Error(x.Skipped)
	}
}

func TestEffects(t *testing.T) {
	replace := &Arm{Kind: Kernel, Mode: "replace"}
	asked := &Record{Kernel: &KernelCounts{Alone: [2]uint64{1, 9}}}
	idle := &Record{Kernel: &KernelCounts{}}
	for _, tt := range []struct {
		arm     *Arm
		records []*Record
		want    Effects
	}{
		{replace, []*Record{asked, idle}, Effects{Known: true, Changed: 1, Asked: 5, Approved: 4.5}},
		{replace, []*Record{idle}, Effects{Known: true, NoOp: true}},
		{&Arm{Kind: Kernel, Mode: "shadow"}, []*Record{asked}, Effects{Known: true, NoOp: true, Asked: 10, Approved: 9}},
		{&Arm{Kind: Stock}, []*Record{{}}, Effects{Asked: number.Unknown, Approved: number.Unknown}},
		{&Arm{Kind: With}, []*Record{{Companion: &Companion{}}}, Effects{Known: true, NoOp: true, Asked: number.Unknown, Approved: number.Unknown}},
		{&Arm{Kind: Daemon, Mode: "own"}, nil, Effects{Asked: number.Unknown, Approved: number.Unknown}},
	} {
		got := newEffects(tt.arm, tt.records)
		same := func(a, b number.Num) bool { return a == b || !a.Known() && !b.Known() }
		if got.Known != tt.want.Known || got.Changed != tt.want.Changed || got.NoOp != tt.want.NoOp || !same(got.Asked, tt.want.Asked) || !same(got.Approved, tt.want.Approved) {
			t.Errorf("%+v: %+v, want %+v", *tt.arm, got, tt.want)
		}
		if strings.HasPrefix(got.Text, "no-op") != tt.want.NoOp {
			t.Errorf("%+v: %q", *tt.arm, got.Text)
		}
	}
}
