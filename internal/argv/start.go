// SPDX-License-Identifier: Apache-2.0

package argv

import (
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	shell       = "/bin/sh"
	defaultPath = "/bin:/usr/bin" // of execvp(3) if there is no PATH
)

// Start starts a command as execvp(3) would: it is looked for in PATH, and a
// script that does not say what runs it is run by sh. exec.LookPath differs: it
// knows no default path, skips the current directory, and does not tell a file
// that may not be executed from one that is not there. What may be executed is for
// execve(2) to say: attr may name a user who may execute less, or more.
func Start(argv []string, attr *syscall.ProcAttr) (pid int, err error) {
	files, err := candidates(argv[0])
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		pid, err = syscall.ForkExec(file, argv, attr)
		if err == unix.ENOEXEC {
			pid, err = syscall.ForkExec(shell, append([]string{shell, file}, argv[1:]...), attr)
		}
		if err != unix.EACCES { // else another directory may have it
			break
		}
	}
	return pid, err
}

// candidates returns the files that execvp(3) would try to execute, in that order.
// A name with a slash is a file's; what is wrong with that is for execve(2) to say.
func candidates(name string) (files []string, err error) {
	if strings.Contains(name, "/") {
		return []string{name}, nil
	}
	if name == "" {
		return nil, exec.ErrNotFound
	}
	path, ok := os.LookupEnv("PATH")
	if !ok {
		path = defaultPath
	}
	for _, dir := range strings.Split(path, ":") {
		if dir == "" {
			dir = "."
		}
		file := dir + "/" + name
		if _, err := os.Stat(file); err == nil {
			files = append(files, file)
		}
	}
	if files == nil {
		return nil, exec.ErrNotFound
	}
	return files, nil
}

// ExitCode is what env(1), timeout(1) and shells exit with if Start fails: 127
// if there is no such command, 126 if there is but it cannot be executed.
func ExitCode(err error) int {
	if err == exec.ErrNotFound || err == unix.ENOENT {
		return 127
	}
	return 126
}
