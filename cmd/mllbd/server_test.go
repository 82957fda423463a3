// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"html"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// testServer serves some metrics.
func testServer(t *testing.T, log io.Writer) (s *server, addr string) {
	t.Helper()
	logger := slog.New(slog.NewTextHandler(log, nil))
	s, err := listen("127.0.0.1:0", logger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	var st stats
	st.Tick(sampleTick(t))
	s.serve(newMetrics(&st, identity{}), time.Hour)
	return s, s.listener.Addr().String()
}

// TestServerIsBounded: connections on which nothing comes are few, the rest waits in
// the kernel, and the server closes with all of them.
func TestServerIsBounded(t *testing.T) {
	s, addr := testServer(t, io.Discard)
	for range 4 * maxConns {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	open := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.conns)
	}
	eventually(t, "all places are taken", func() (bool, any) { n := open(); return n == maxConns, n })
	s.mu.Lock()
	served := slices.Collect(maps.Keys(s.conns))
	s.mu.Unlock()
	s.close()
	for _, conn := range served {
		if err := conn.SetDeadline(time.Time{}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a connection is open still: %v", err)
		}
	}
	if len(s.reserve) > 0 {
		t.Error("descriptors are kept from the restore")
	}
}

// TestServerAnswersOnce, whatever a client sends.
func TestServerAnswersOnce(t *testing.T) {
	_, addr := testServer(t, io.Discard)
	const get = "GET /metrics HTTP/1.1\r\nHost: x\r\n"
	for _, tt := range []struct{ name, send, want string }{
		{"a request", get + "\r\n", "HTTP/1.1 200 OK"},
		{"an old one", "GET /metrics HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK"},
		{"many", strings.Repeat(get+"\r\n", 1000), "HTTP/1.1 200 OK"},
		{"a long header", get + "X: " + strings.Repeat("y", 1<<18), "HTTP/1.1 400 Bad Request"},
		{"another protocol", "hello\r\n\r\n", "HTTP/1.1 400 Bad Request"},
		{"the first page", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK"},
		{"no such page", "GET /index.html HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 Not Found"},
		{"another method", "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n", "HTTP/1.1 405 Method Not Allowed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(patience()))
			go func() { _, _ = io.WriteString(conn, tt.send) }() // it may not be read
			answer, err := io.ReadAll(conn)
			if first, _, _ := strings.Cut(string(answer), "\r\n"); err != nil || first != tt.want || bytes.Count(answer, []byte("HTTP/1.1 ")) != 1 {
				t.Errorf("%q, %v; want %s once", answer, err, tt.want)
			}
		})
	}
}

// TestIndex: the page at / leads to the others, and a process's name or a path in it is
// no HTML.
func TestIndex(t *testing.T) {
	server, _ := testServer(t, io.Discard)
	s := &session{server: server}
	status, text := get(t, s, "/")
	if status != http.StatusOK {
		t.Errorf("/ answers %d", status)
	}
	links := regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(text, -1)
	for _, link := range links {
		if status, _ := get(t, s, link[1]); status != http.StatusOK && link[1] != "/healthz" { // the tick of the test is of 2020
			t.Errorf("%s answers %d", link[1], status)
		}
	}
	if len(links) != 2 {
		t.Errorf("%d links: %s", len(links), text)
	}
	const evil = `<script>&"`
	text = indexPage(evil, &identity{Mode: "own", Policy: "mlp", Model: evil}, counters{LastErr: evil, Other: evil, Troubles: []string{evil}}, time.Minute)
	if strings.Contains(text, evil) || strings.Count(text, html.EscapeString(evil)) != 6 {
		t.Errorf("not escaped: %s", text)
	}
}

// TestRequestsComeAtOnce, or are given up long before they are whole.
func TestRequestsComeAtOnce(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	go func() {
		for range maxRequest {
			_, _ = theirs.Write([]byte("x"))
		}
	}()
	m := &metered{Conn: ours, thread: &thread{server: &server{}}}
	if n, err := io.Copy(io.Discard, m); n != maxReads || err == nil {
		t.Errorf("%d bytes, each by itself, were read: %v", n, err)
	}
}

// TestConnectionsArePaced: some come at once, then one each connEvery.
func TestConnectionsArePaced(t *testing.T) {
	l := newLimited(nil)
	now, taken := time.Now(), 0
	for end := now.Add(100 * connEvery); now.Before(end); now = now.Add(connEvery / 4) {
		for ; l.early(now) <= 0 && taken < 1000; taken++ {
			l.pay(now)
		}
	}
	if want := 100 + connBurst; taken != want {
		t.Errorf("%d connections, want %d", taken, want)
	}
}

// TestServingIsApart: what serving takes is not the loop's, and its bugs are not either.
func TestServingIsApart(t *testing.T) {
	s, err := listen("127.0.0.1:0", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	const work = 50 * time.Millisecond
	s.start(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		for begin := threadTime(); threadTime() < begin+work; {
		}
		panic("a bug")
	}))
	for range 2 * maxConns {
		if _, err := http.Get("http://" + s.listener.Addr().String()); err == nil {
			t.Fatal("there is an answer")
		}
	}
	eventually(t, "its CPU time is counted", func() (bool, any) { return s.cpuTime() >= 2*maxConns*work, s.cpuTime() })
	all := cpuTime()
	if loop := (&session{server: s}).loopTime(); loop > all-2*maxConns*work+work {
		t.Errorf("%v of %v are the loop's", loop, all)
	}
}

// TestMetricsAreCached: scrapes that come at once are one rendering.
func TestMetricsAreCached(t *testing.T) {
	n := 0
	c := &cached{of: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n++
		w.Header().Set("Content-Type", "text/metrics")
		_, _ = io.WriteString(w, "metric 1\n")
	})}
	c.at = time.Now().Add(time.Hour) // fresh for as long as the test takes
	c.page = page{header: make(http.Header), status: http.StatusOK}
	for range 3 {
		c.render()
	}
	if n != 0 {
		t.Errorf("rendered %d times while it was fresh", n)
	}
	c.at = time.Time{}
	if status, kind, body := c.render(); n != 1 || status != http.StatusOK || kind != "text/metrics" || string(body) != "metric 1\n" {
		t.Errorf("rendered %d times: %d %s %q", n, status, kind, body)
	}
}

func TestServerSaysItsPort(t *testing.T) {
	var log bytes.Buffer
	s, addr := testServer(t, &log)
	s.close()
	if !strings.Contains(log.String(), "addr="+addr) {
		t.Errorf("%s is not in the log: %s", addr, &log)
	}
}
