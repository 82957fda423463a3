// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"mllb/features"
	"mllb/internal/cc"
	"mllb/learn/export"
	"mllb/mlp"
)

// maxHidden is MLLB_MAX_HIDDEN.
const maxHidden = export.KernelMaxHidden

// These are what native/driver.c reads and writes, field for field.
type (
	cVector struct {
		Bits  uint32
		Ratio [5]int32
	}
	cFacts struct {
		SrcLoad, DstLoad            uint64
		Delta, MigrationCost        int64
		SrcFaults, DstFaults, Total uint64
		SrcNrRunning, DstNrRunning  uint32
		SrcNrPreferred              uint32
		SrcLen, DstLen              uint32
		NrBalanceFailed, NiceTries  uint32
		SrcNode, DstNode, Preferred int32
		Idle, SameSMT               uint8
		HasFaults, NextBuddy        uint8
		_                           [4]byte
	}
	cParsed struct {
		Result        int32
		Hidden, Limit uint32
		Small         uint32
		Length        uint32
	}
	cInferred struct {
		Logit, Wide int32
		Hidden      [maxHidden]int32
		InRange     uint32
	}
	cDecided struct {
		Vector           cVector
		Logit            int32
		Migrate, InRange uint32
		Small            uint32
		FloatLogit       int32
		FloatMigrate     uint32
	}
	cQuotient struct {
		Num, Den uint64
		Negative uint32
	}
)

// driver is a running native/driver.c.
type driver struct {
	in  *bufio.Writer
	out *bufio.Reader
}

// cflags warn of all that the kernel's own build warns of.
var cflags = []string{"-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-Wno-sign-compare", "-Werror", "-fno-strict-aliasing",
	"-fsanitize=undefined,address", "-fno-sanitize-recover=all", "-Inative/include"}

var built struct {
	sync.Once
	dir     string
	problem error
}

func TestMain(m *testing.M) {
	code := m.Run()
	os.RemoveAll(built.dir)
	os.Exit(code)
}

func build(compiler string) {
	if built.dir, built.problem = os.MkdirTemp("", "mllb-kernel-"); built.problem != nil {
		return
	}
	args := append(slices.Clip(cflags), "-o", filepath.Join(built.dir, "driver"), "native/driver.c", "src/mllb.c", "src/mllb_blob.c", "src/mllb_float.c")
	if out, err := exec.Command(compiler, args...).CombinedOutput(); err != nil {
		built.problem = fmt.Errorf("%s: %w\n%s", compiler, err, out)
	}
}

// startDriver builds the C with sanitizers, once, and starts it.
func startDriver(t testing.TB) *driver {
	t.Helper()
	compiler := cc.Find(t, cflags...)
	built.Do(func() { build(compiler) })
	if built.problem != nil {
		t.Fatal(built.problem)
	}
	var stderr bytes.Buffer
	cmd := exec.Command(filepath.Join(built.dir, "driver"))
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("driver: %v\n%s", err, stderr.Bytes())
		}
	})
	return &driver{bufio.NewWriterSize(in, 1<<16), bufio.NewReaderSize(out, 1<<16)}
}

// ask sends one request and reads the answer.
func (d *driver) ask(t fatal, op byte, request, answer any) {
	t.Helper()
	d.send(t, op, request)
	d.flush(t)
	d.receive(t, answer)
}

// fatal is what testing.TB and rapid.T have in common here.
type fatal interface {
	Helper()
	Fatalf(format string, args ...any)
}

func (d *driver) send(t fatal, op byte, request any) {
	t.Helper()
	if err := d.in.WriteByte(op); err != nil {
		t.Fatalf("send %c: %v", op, err)
	}
	if err := binary.Write(d.in, binary.LittleEndian, request); err != nil {
		t.Fatalf("send %c: %v", op, err)
	}
}

func (d *driver) flush(t fatal) {
	t.Helper()
	if err := d.in.WriteByte('F'); err != nil {
		t.Fatalf("flush: %v", err)
	}
	if err := d.in.Flush(); err != nil {
		t.Fatalf("flush: %v", err)
	}
}

func (d *driver) receive(t fatal, answer any) {
	t.Helper()
	if err := binary.Read(d.out, binary.LittleEndian, answer); err != nil {
		t.Fatalf("the driver ended: %v", err)
	}
}

// parse sends a blob and returns what mllb_parse says of it.
func (d *driver) parse(t fatal, blob []byte) (cParsed, string) {
	t.Helper()
	var got cParsed
	d.ask(t, 'M', append(binary.LittleEndian.AppendUint32(nil, uint32(len(blob))), blob...), &got)
	why := make([]byte, got.Length)
	if _, err := io.ReadFull(d.out, why); err != nil {
		t.Fatalf("the driver ended: %v", err)
	}
	return got, string(why)
}

// load sends a model that must be taken.
func (d *driver) load(t fatal, m *mlp.Model) cParsed {
	t.Helper()
	got, why := d.parse(t, blobOf(t, m))
	if got.Result != 0 || why != "" {
		t.Fatalf("mllb_parse: %d, %s", got.Result, why)
	}
	return got
}

func blobOf(t fatal, m *mlp.Model) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := export.Kernel(&b, m); err != nil {
		t.Fatalf("export: %v", err)
	}
	return b.Bytes()
}

func vectorOf(v *features.Vector) (c cVector) {
	c.Bits = v.Bits
	copy(c.Ratio[:], v.Ratios[:])
	return c
}

// idleTypes are enum mllb_idle.
var idleTypes = map[features.IdleType]uint8{features.Idle: 0, features.NotIdle: 1, features.NewlyIdle: 2}

// factsOf is what should_migrate_task() would gather of a Decision.
func factsOf(d *features.Decision) cFacts {
	faults, total := d.TaskFaults, d.TaskTotalFaults
	if d.HasGroup {
		faults, total = d.GroupFaults, d.GroupTotalFaults
	}
	at := func(node int32) uint64 {
		if node < 0 || int(node) >= len(faults) {
			return 0
		}
		return faults[node]
	}
	one := func(b bool) uint8 {
		if b {
			return 1
		}
		return 0
	}
	return cFacts{
		SrcLoad: d.SrcLoad, DstLoad: d.DstLoad, Delta: d.Delta, MigrationCost: d.MigrationCost,
		SrcFaults: at(d.SrcNode), DstFaults: at(d.DstNode), Total: total,
		SrcNrRunning: d.SrcNrRunning, DstNrRunning: d.DstNrRunning, SrcNrPreferred: d.SrcNrPreferredRunning,
		SrcLen: d.SrcLen, DstLen: d.DstLen, NrBalanceFailed: d.NrBalanceFailed, NiceTries: d.CacheNiceTries,
		SrcNode: d.SrcNode, DstNode: d.DstNode, Preferred: d.PreferredNode,
		Idle: idleTypes[d.Idle], SameSMT: one(d.Domain&features.ShareCPUCapacity != 0),
		HasFaults: one(d.HasFaults), NextBuddy: one(d.NextBuddy),
	}
}
