// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"os/exec"
	"strings"
)

// qemuBinary runs x86-64 guests; Debian's package is qemu-system-x86.
const qemuBinary = "qemu-system-x86_64"

// portName is the virtio-serial port that carries the frames of frame.go.
const portName = "mllb"

// guestEnv on the kernel's command line becomes init's environment
// (Documentation/admin-guide/kernel-parameters.rst: what the kernel does not
// know and has no dot), and so that of every process in the guest.
const guestEnv = "MLLB_LAB"

// kernelParams: tsc=reliable keeps an emulated guest off the slow hpet clock;
// nokaslr and mitigations=off make it faster and its oopses readable; an oops
// panics and a panic reboots at once, which -no-reboot turns into QEMU's end;
// schedstats=enable tells collect which migrations failed for being hot;
// no_timer_check leaves out a check at boot that panics on a busy host ("IO-APIC
// + timer doesn't work!", check_timer in arch/x86/kernel/apic/io_apic.c).
var kernelParams = []string{
	"console=ttyS0", "quiet", "oops=panic", "panic=-1", "mitigations=off", "nokaslr",
	"tsc=reliable", "no_timer_check", "schedstats=enable", "rdinit=" + guestInit, guestEnv + "=1",
}

// Accel is how QEMU runs the guest's instructions.
type Accel string

// AccelAuto is KVM where a probe guest boots with it, else TCG.
const (
	AccelAuto Accel = "auto"
	AccelTCG  Accel = "tcg"
	AccelKVM  Accel = "kvm"
)

// machine is what the QEMU command line is made of.
type machine struct {
	shape     Shape
	memoryMiB int
	accel     Accel
	single    bool // TCG: one host thread for all CPUs
	icount    bool // TCG: a clock that counts instructions; implies single
	kernel    string
	initrd    string
	params    string // more kernel parameters
	halted    bool   // the CPUs wait for the monitor's cont
}

// args is QEMU's command line. The frames' socket is inherited as portFD; the
// kernel's console is QEMU's standard output.
func (m machine) args() []string {
	s := m.shape
	args := []string{"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"}
	args = append(args, m.accelArgs()...)
	// QEMU shows guests of other vendors no SMT.
	args = append(args, "-cpu", "max,vendor=GenuineIntel", "-m", fmt.Sprintf("%dM", m.memoryMiB),
		"-smp", fmt.Sprintf("%d,sockets=%d,dies=%d,cores=%d,threads=%d", s.CPUs(), s.Sockets, s.Caches, s.Cores, s.Threads))
	args = append(args, m.numaArgs()...)
	args = append(args,
		"-serial", "stdio",
		"-device", "virtio-serial-pci",
		"-chardev", fmt.Sprintf("socket,id=frames,fd=%d", portFD),
		"-device", "virtserialport,chardev=frames,nr=1,name="+portName,
		"-kernel", m.kernel, "-initrd", m.initrd)
	if m.halted {
		// The names are for those who look at the threads.
		args = append(args, "-name", "mllb,debug-threads=on", "-S",
			"-chardev", fmt.Sprintf("socket,id=qmp,fd=%d", monitorFD), "-mon", "chardev=qmp,mode=control")
	}
	params := append([]string{}, kernelParams...)
	if m.params != "" {
		params = append(params, m.params)
	}
	return append(args, "-append", strings.Join(params, " "))
}

func (m machine) accelArgs() []string {
	switch {
	case m.accel == AccelKVM:
		return []string{"-accel", "kvm"}
	case m.icount:
		return []string{"-accel", "tcg,thread=single", "-icount", "shift=0,sleep=on"}
	case m.single:
		return []string{"-accel", "tcg,thread=single"}
	}
	return []string{"-accel", "tcg,thread=multi"}
}

// numaArgs makes one node of each socket, 21 from the others as topology.Parse
// says. What does not divide evenly goes to the first node.
func (m machine) numaArgs() []string {
	nodes, perCPU := m.shape.Sockets, m.shape.CPUs()/m.shape.Sockets
	perMiB := m.memoryMiB / nodes
	var args []string
	for i := range nodes {
		size := perMiB
		if i == 0 {
			size += m.memoryMiB % nodes
		}
		args = append(args,
			"-object", fmt.Sprintf("memory-backend-ram,id=m%d,size=%dM", i, size),
			"-numa", fmt.Sprintf("node,nodeid=%d,memdev=m%d,cpus=%d-%d", i, i, i*perCPU, (i+1)*perCPU-1))
	}
	for i := range nodes {
		for j := range nodes {
			if i != j {
				args = append(args, "-numa", fmt.Sprintf("dist,src=%d,dst=%d,val=21", i, j))
			}
		}
	}
	return args
}

// findQEMU says where QEMU is, or which package has it.
func findQEMU() (string, error) {
	path, err := exec.LookPath(qemuBinary)
	if err != nil {
		return "", fmt.Errorf("%w: %s is not in PATH; install Debian's package qemu-system-x86", ErrNoQEMU, qemuBinary)
	}
	return path, nil
}
