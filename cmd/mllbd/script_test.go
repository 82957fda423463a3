// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// kernelScripts are those whose outcome depends on the kernel. A guest runs no
// others, and with -short only the first: each starts mllbd many times, which
// takes two seconds under emulation.
var kernelScripts = []string{"check", "restore", "capabilities", "observe", "command"}

func scripts() (files []string) {
	names := kernelScripts
	if testing.Short() {
		names = names[:3]
	}
	for _, name := range names {
		files = append(files, "testdata/script/"+name+".txtar")
	}
	return files
}

// TestScripts runs the sessions at the prompt in testdata/script.
func TestScripts(t *testing.T) {
	params := testscript.Params{
		RequireExplicitExec: true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"status": statusCmd},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "root":
				return os.Getuid() == 0, nil
			case "guest":
				return inGuest, nil
			case "affinity":
				_, err := probeAffinity("/")
				return err == nil, nil
			}
			return false, errors.New("unknown condition")
		},
	}
	if inGuest {
		params.Files = scripts()
	} else {
		params.Dir = "testdata/script"
	}
	testscript.Run(t, params)
}

// statusCmd is `status N|SIGNAL program args...`: the program must end so.
func statusCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N|SIGNAL program [args...]")
	}
	got := endOf(ts, args[1:])
	if got != args[0] {
		ts.Fatalf("%v ended with %s, want %s", args[1:], got, args[0])
	}
}

// endOf runs a command in the script's directory and environment and returns
// its exit code, or the name of the signal that ended it.
func endOf(ts *testscript.TestScript, args []string) string {
	path, err := exec.LookPath(args[0])
	ts.Check(err)
	cmd := exec.Command(path, args[1:]...)
	cmd.Dir = ts.MkAbs(".")
	for _, key := range []string{"PATH", "HOME", "TMPDIR", "MLLBD_STATE_DIR", "MLLBD_LOG_LEVEL", "MLLBD_MODE", "MLLBD_DURATION", "MLLBD_INTERVAL",
		"SUDO_UID", "SUDO_GID", "SUDO_USER"} {
		if v := ts.Getenv(key); v != "" {
			cmd.Env = append(cmd.Env, key+"="+v)
		}
	}
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		ts.Fatalf("%v: %v", args, err)
	}
	st := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if st.Signaled() {
		return unix.SignalName(st.Signal())[len("SIG"):]
	}
	return strconv.Itoa(st.ExitStatus())
}
