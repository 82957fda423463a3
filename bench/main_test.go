// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mllb/internal/runreport"
)

var update = flag.Bool("update", false, "write the golden files of testdata anew")

// TestMain has the test binary be the launcher, a daemon that only looks like
// mllbd, and workloads.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "mllbd" {
		os.Exit(fakeMllbd(os.Args[1:]))
	}
	if len(os.Args) > 1 && os.Args[1] == "bench-run" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		if err := launchArgs(ctx, os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func launchArgs(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("bench-run", flag.ContinueOnError)
	socket, tree, grace := f.String("socket", "", ""), f.Bool("tree", false, ""), f.Duration("grace", time.Second, "")
	if err := f.Parse(args); err != nil {
		return err
	}
	return Launch(ctx, *socket, f.Args(), *tree, *grace)
}

// fakeMllbd runs a command and reports as FAKE_REPORT says; "crash" kills itself
// while the command runs. Restores are counted in the file FAKE_RESTORES.
func fakeMllbd(args []string) int {
	if args[0] == "restore" {
		f, err := os.OpenFile(os.Getenv("FAKE_RESTORES"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
		if err == nil {
			fmt.Fprintln(f, strings.Join(args, " "))
			f.Close()
		}
		return 0
	}
	path, at := "", 0
	for i, a := range args {
		switch a {
		case "--report":
			path = args[i+1]
		case "--":
			if at == 0 {
				at = i + 1
			}
		}
	}
	cmd := exec.Command(args[at], args[at+1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return 127
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	go func() { _ = cmd.Process.Signal(<-stop) }()
	r := runreport.Report{Schema: runreport.Schema, Seconds: 1, CPUSeconds: 0.004, Counters: map[string]float64{"ticks": 10}, Asked: map[string]uint64{"machine": 7},
		Approved: map[string]uint64{"machine": 5}, Moved: map[string]uint64{"machine": 4}}
	switch os.Getenv("FAKE_REPORT") {
	case "crash":
		time.Sleep(200 * time.Millisecond)
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "none":
		path = filepath.Join(os.TempDir(), "no", "such", "place")
	case "left":
		r.Left = 2
	case "gave up":
		r.Error = "blind"
	case "idle":
		r.Moved = nil
	}
	err := cmd.Wait()
	if o, werr := runreport.Create(context.Background(), path); werr == nil {
		_ = r.Write(o)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return 0
}
