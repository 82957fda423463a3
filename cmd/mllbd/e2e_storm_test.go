// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestStorm lets thousands of threads a second be born and die under `own`.
func TestStorm(t *testing.T) {
	needCPUs(t, 2)
	if inGuest {
		t.Skip("an emulated guest starts too few threads a second for a storm")
	}
	last := 30 * time.Second
	if testing.Short() {
		last = 3 * time.Second
	}
	addr := freeAddr(t)
	d := startDaemon(t, t.TempDir(), "--mode", "own", "--policy", "always", "--listen", addr,
		"--", "stormload", strconv.FormatFloat(last.Seconds(), 'f', 0, 64))
	begin := time.Now()
	time.Sleep(time.Second)
	early := rss(t, d.Process.Pid)
	late, asked, well := early, 0, 0
	for time.Since(begin) < last-500*time.Millisecond {
		asked++
		if healthy(addr) {
			well++
		}
		late = rss(t, d.Process.Pid)
		time.Sleep(250 * time.Millisecond)
	}
	line, _ := d.stdout.ReadString('\n')
	d.end() // no error line and no warning
	threads, _ := strconv.Atoi(strings.TrimSpace(line))
	t.Logf("%.0f threads a second; mllbd's RSS %d KiB after 1 s, %d KiB at the end; healthy in %d of %d looks\n%s",
		float64(threads)/last.Seconds(), early>>10, late>>10, well, asked, d.stderr.String())
	if well*100 < asked*90 {
		t.Errorf("healthy in only %d of %d looks", well, asked)
	}
	if late > early+16<<20 {
		t.Errorf("mllbd grew from %d to %d bytes", early, late)
	}
	if !strings.Contains(d.stderr.String(), "; 0 left") {
		t.Errorf("something was left:\n%s", d.stderr.String())
	}
	if threads < 1000*int(last.Seconds()) {
		t.Skipf("others are busy on this machine: only %d threads, no storm", threads)
	}
}

func freeAddr(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func healthy(addr string) bool {
	client := http.Client{Timeout: time.Second}
	resp, err := client.Get("http://" + addr + "/healthz")
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode == http.StatusOK
}

// rss returns the resident set of a process in bytes.
func rss(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}
