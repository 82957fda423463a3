// SPDX-License-Identifier: Apache-2.0

package live

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"mllb/learn/export"
	"mllb/mlp"
)

const control = "/sys/kernel/debug/sched/mllb"

// needPatches skips a test where the kernel has no network.
func needPatches(t testing.TB) {
	t.Helper()
	if _, err := os.Stat(control); errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		t.Skipf("%s is not there: no kernel with mllb's patches, or no debugfs", control)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		put(t, "mode", "off")
		if hasFloat() {
			put(t, "arith", "fixed")
		}
	})
}

// hasFloat reports whether the kernel has the network in floating point, too.
func hasFloat() bool {
	_, err := os.Stat(filepath.Join(control, "arith"))
	return err == nil
}

// write writes to a control file in one call.
func write(name string, data []byte) error {
	f, err := os.OpenFile(filepath.Join(control, name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

func put(t testing.TB, name, value string) {
	t.Helper()
	if err := write(name, []byte(value+"\n")); err != nil {
		t.Fatal(err)
	}
}

func load(t *testing.T, blob []byte) {
	t.Helper()
	if err := write("model", blob); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(control, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// checksum of the model in use.
func checksum(t *testing.T) string {
	t.Helper()
	for line := range strings.Lines(read(t, "model")) {
		if crc, ok := strings.CutPrefix(line, "crc "); ok {
			return strings.TrimSpace(crc)
		}
	}
	t.Fatal("no checksum")
	return ""
}

// counters is the sum of all CPUs' stats, by the name of the column.
func counters(t *testing.T) map[string]uint64 {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(read(t, "stats")), "\n")
	names, sums := strings.Fields(lines[0]), strings.Fields(lines[len(lines)-1])
	if len(names) != len(sums) || sums[0] != "all" {
		t.Fatalf("stats: %q", lines)
	}
	n := map[string]uint64{}
	for i, name := range names[1:] {
		v, err := strconv.ParseUint(sums[i+1], 10, 64)
		if err != nil {
			t.Fatalf("stats: %s: %v", name, err)
		}
		n[name] = v
	}
	return n
}

func builtIn(t *testing.T) *mlp.Model {
	t.Helper()
	m, err := mlp.Default()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func blob(t *testing.T, m *mlp.Model) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := export.Kernel(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// kernelLog reads what the kernel logs from now on.
type kernelLog struct{ f *os.File }

func openLog(t *testing.T) kernelLog {
	t.Helper()
	f, err := os.OpenFile("/dev/kmsg", os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := unix.Seek(int(f.Fd()), 0, unix.SEEK_END); err != nil {
		t.Fatal(err)
	}
	return kernelLog{f}
}

// lines returns what was logged since it was called before.
func (l kernelLog) lines(t *testing.T) (lines []string) {
	t.Helper()
	record := make([]byte, 8192)
	for {
		n, err := unix.Read(int(l.f.Fd()), record)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return lines
		case errors.Is(err, unix.EPIPE): // the log was faster than we are
			lines = append(lines, "(records were overwritten)")
		case err != nil:
			t.Fatal(err)
		default:
			_, text, _ := strings.Cut(string(record[:n]), ";")
			text, _, _ = strings.Cut(text, "\n")
			lines = append(lines, text)
		}
	}
}
