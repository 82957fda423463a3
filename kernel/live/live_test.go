// SPDX-License-Identifier: Apache-2.0

package live

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestKUnit reads what the kernel's own suite found at boot.
func TestKUnit(t *testing.T) {
	needPatches(t)
	b, err := os.ReadFile("/sys/kernel/debug/kunit/sched_mllb/results")
	if err != nil {
		t.Fatal(err)
	}
	// 6.1 keeps of a parametrized case only the last line; the totals are of all.
	totals := regexp.MustCompile(`# Totals: pass:(\d+) fail:(\d+) skip:(\d+) `).FindSubmatch(b)
	if totals == nil {
		t.Fatalf("no totals:\n%s", b)
	}
	t.Logf("%s", totals[0])
	if passed, err := strconv.Atoi(string(totals[1])); err != nil || passed < 21 || string(totals[2]) != "0" || string(totals[3]) != "0" || bytes.Contains(b, []byte("not ok")) {
		t.Errorf("%s", b)
	}
}

// TestSelftest runs the series' script, with a model.
func TestSelftest(t *testing.T) {
	needPatches(t)
	model := filepath.Join(t.TempDir(), "model.bin")
	if err := os.WriteFile(model, blob(t, builtIn(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("sh", "../src/mllb.sh", model).CombinedOutput()
	t.Logf("%s", out)
	if err != nil || bytes.Contains(out, []byte("not ok")) || !bytes.Contains(out, []byte("\nok ")) {
		t.Error(err)
	}
}

// TestHostileBlobs writes what no kernel may take, while decisions are made.
func TestHostileBlobs(t *testing.T) {
	needPatches(t)
	l := openLog(t)
	startLoad(t, "mixed", 24, 0)
	put(t, "mode", "replace")
	good := blob(t, builtIn(t))
	load(t, good)
	crc, before := checksum(t), counters(t)
	word := func(at int, v uint32) []byte {
		b := bytes.Clone(good)
		binary.LittleEndian.PutUint32(b[4*at:], v)
		if at > 3 {
			binary.LittleEndian.PutUint32(b[12:], crc32.ChecksumIEEE(b[16:]))
		}
		return b
	}
	overflow := bytes.Clone(good)
	for i := range 8 {
		binary.LittleEndian.PutUint32(overflow[4*(10+i):], 1<<31-1)
	}
	binary.LittleEndian.PutUint32(overflow[12:], crc32.ChecksumIEEE(overflow[16:]))
	for _, c := range []struct {
		name string
		blob []byte
		want error
		why  string
	}{
		{"empty", nil, unix.EINVAL, "too short for a header"},
		{"a byte", good[:1], unix.EINVAL, "too short for a header"},
		{"truncated", good[:len(good)-4], unix.EINVAL, "not as long as it says"},
		{"a byte more", append(bytes.Clone(good), 0), unix.EINVAL, "not as long as it says"},
		{"huge", make([]byte, 1<<20), unix.EFBIG, "too large"},
		{"no model", make([]byte, 1000), unix.EINVAL, "not a model"},
		{"version", word(1, 2), unix.EINVAL, "another version"},
		{"checksum", word(3, 1), unix.EINVAL, "checksum is wrong"},
		{"set", word(4, 1<<31), unix.EINVAL, "unknown feature set"},
		{"hidden", word(6, 1<<30), unix.EINVAL, "hidden layer has no size that is supported"},
		{"overflow", overflow, unix.EINVAL, "weights could overflow the accumulator"},
	} {
		time.Sleep(time.Second) // printk is limited to ten lines in five seconds
		l.lines(t)
		err := write("model", c.blob)
		log := strings.Join(l.lines(t), "\n")
		if !errors.Is(err, c.want) || !strings.Contains(log, "sched/mllb: model refused: "+c.why) {
			t.Errorf("%s: %v, log %q", c.name, err, log)
		}
		if got := checksum(t); got != crc {
			t.Errorf("%s: the model is now %s, it was %s", c.name, got, crc)
		}
	}
	waitFor(t, "decisions after all that", func() bool { return counters(t)["-/go"] > before["-/go"]+10 })
}

// TestUnprivileged writes without CAP_SYS_ADMIN, as a user whom the files' modes
// do not stop.
func TestUnprivileged(t *testing.T) {
	needPatches(t)
	crc := checksum(t)
	for name, data := range map[string][]byte{"model": blob(t, builtIn(t)), "mode": []byte("replace")} {
		err := withoutAdmin(func() error { return write(name, data) })
		if !errors.Is(err, unix.EPERM) {
			t.Errorf("%s: %v, want EPERM", name, err)
		}
	}
	if checksum(t) != crc || !strings.Contains(read(t, "mode"), "[off]") {
		t.Errorf("model %s, mode %s", checksum(t), read(t, "mode"))
	}
}
