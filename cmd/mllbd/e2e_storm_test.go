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
	threads := 100_000
	if testing.Short() {
		threads = 10_000
	}
	addr := freeAddr(t)
	d := startDaemon(t, t.TempDir(), "--mode", "own", "--hold", "busy", "--policy", "always", "--listen", addr, "--", "stormload", strconv.Itoa(threads))
	begin := time.Now()
	ended := make(chan struct{})
	go func() { d.end(); close(ended) }() // no error line and no warning
	early, late, asked, well := 0, 0, 0, 0
	for running := true; running; {
		select {
		case <-ended:
			running = false
		case <-time.After(250 * time.Millisecond):
			asked++
			if healthy(addr) {
				well++
			}
			if late = max(rss(d.Process.Pid), late); asked == 4 {
				early = late
			}
		}
	}
	t.Logf("%.0f threads a second; mllbd's RSS %d KiB after 1 s, then at most %d KiB; healthy in %d of %d looks\n%s",
		float64(threads)/time.Since(begin).Seconds(), early>>10, late>>10, well, asked, d.stderr.String())
	if asked < 4 || well*100 < asked*90 {
		t.Errorf("healthy in only %d of %d looks", well, asked)
	}
	if late > early+16<<20 {
		t.Errorf("mllbd grew from %d to %d bytes", early, late)
	}
	if !strings.Contains(d.stderr.String(), "; 0 left") {
		t.Errorf("something was left:\n%s", d.stderr.String())
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
	status, _ := getPage(addr, "/healthz")
	return status == http.StatusOK
}

// getPage asks a running mllbd; status 0: it does not answer.
func getPage(addr, page string) (status int, body string) {
	client := http.Client{Timeout: time.Second}
	resp, err := client.Get("http://" + addr + page)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

// rss returns the resident set of a process in bytes, 0 once it has ended.
func rss(pid int) int {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return 0
	}
	pages, _ := strconv.Atoi(f[1])
	return pages * os.Getpagesize()
}
