// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mllb/internal/namedfile"
)

// kvmProbe is how long a guest may take under KVM to show that it works: a
// real one boots in about a second, one that cannot run stock kernels hangs
// or is refused.
const kvmProbe = 8 * time.Second

// probeRecord remembers a probe for as long as the host is up.
type probeRecord struct {
	Boot  string `json:"boot"` // /proc/sys/kernel/random/boot_id
	Works bool   `json:"works"`
	Why   string `json:"why,omitempty"`
}

// ResolveAccel turns auto into KVM or TCG. That /dev/kvm exists or opens says
// nothing (nested virtualisation may lack what a stock kernel needs), so a
// small guest is booted with it once, and the answer kept in the cache.
func ResolveAccel(ctx context.Context, want Accel, cache string, cfg Config) (Accel, error) {
	if _, err := findQEMU(); err != nil {
		return "", err
	}
	switch want {
	case AccelTCG, AccelKVM:
		return want, nil
	case AccelAuto, "":
	default:
		return "", fmt.Errorf("accelerator %q: want auto, kvm or tcg", want)
	}
	kvm, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil || cfg.ICount {
		return AccelTCG, nil // absent or not ours; icount exists in TCG only
	}
	kvm.Close()
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return AccelTCG, nil
	}
	file := filepath.Join(cache, "kvm.json")
	var rec probeRecord
	if b, err := os.ReadFile(file); err == nil && json.Unmarshal(b, &rec) == nil && rec.Boot == strings.TrimSpace(string(boot)) {
		return rec.accel(), nil
	}
	probe := Config{
		Shape: Shape{1, 1, 1, 1}, Kernel: cfg.Kernel, Init: cfg.Init, Accel: AccelKVM, MemoryMiB: 512, Timeout: kvmProbe,
	}
	_, err = Run(ctx, probe)
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	rec = probeRecord{Boot: strings.TrimSpace(string(boot)), Works: err == nil}
	if err != nil {
		rec.Why = err.Error()
	}
	b, err := json.Marshal(rec)
	if err == nil && os.MkdirAll(cache, 0o755) == nil {
		_ = namedfile.Write(ctx, file, b) // without it the next run probes again
	}
	return rec.accel(), nil
}

func (r probeRecord) accel() Accel {
	if r.Works {
		return AccelKVM
	}
	return AccelTCG
}
