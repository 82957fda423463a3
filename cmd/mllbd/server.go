// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sys/unix"
)

// What anybody who reaches the metrics server may take of mllbd: descriptors, which
// it needs to undo what it did, and CPU time.
const (
	maxConns     = 8                      // at a time
	connEvery    = 250 * time.Millisecond // one connection, in the long run
	connBurst    = 16                     // that come at once
	connTimeout  = 5 * time.Second        // for the request and the answer
	connLinger   = time.Second            // for who sends more than a request
	maxRequest   = 8 << 10                // bytes
	maxReads     = 16                     // in which they come,
	freeReads    = 4                      // of which these are not
	readEvery    = 100 * time.Millisecond // apart
	metricsFresh = 100 * time.Millisecond // how long one rendering is served
	reserved     = 16                     // descriptors for the restore
)

// server serves /, /metrics and /healthz, one request for each connection, on threads
// of its own, whose CPU time can be told from that of the loop.
type server struct {
	listener *limited
	log      *slog.Logger
	spent    atomic.Int64 // CPU time of its threads, in ns
	reserve  []*os.File   // closed, they are what the restore may open

	mu    sync.Mutex
	conns map[net.Conn]struct{} // nil once closed
}

// listen binds addr. A name or address that is not loopback is obeyed, since
// somebody asked for it, and warned of.
func listen(addr string, log *slog.Logger) (*server, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	s := &server{listener: newLimited(l), log: log, conns: make(map[net.Conn]struct{})}
	log.Info("metrics are served", "addr", l.Addr().String())
	if tcp, ok := l.Addr().(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		log.Warn("metrics are open to the network", "addr", l.Addr().String())
	}
	for range reserved {
		f, err := os.Open(os.DevNull)
		if err != nil {
			s.close()
			return nil, fmt.Errorf("--listen: reserve descriptors: %w", err)
		}
		s.reserve = append(s.reserve, f)
	}
	return s, nil
}

// serve answers until close. stale is the age at which the last tick counts as
// lost.
func (s *server) serve(m *metrics, stale time.Duration) {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(m)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", &cached{of: promhttp.HandlerFor(registry, promhttp.HandlerOpts{DisableCompression: true})})
	mux.HandleFunc("GET /{$}", m.index)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if why := unhealthy(m.stats.read(), time.Now(), stale); why != "" {
			http.Error(w, why, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	s.start(mux)
}

func (s *server) start(h http.Handler) {
	for range maxConns {
		go s.work(h)
	}
}

// work answers one connection after the other. Its goroutine keeps its thread, so
// that what that takes is what serving takes.
func (s *server) work(h http.Handler) {
	runtime.LockOSThread()
	t := &thread{server: s, last: threadTime()}
	for {
		conn, err := s.listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // no descriptors, or it has gone already (accept(2))
			s.log.Warn("a metrics connection failed", "err", err)
			time.Sleep(connEvery)
		default:
			s.answer(&metered{Conn: conn, thread: t}, h)
		}
		t.count()
	}
}

// thread is one of the server's own.
type thread struct {
	server *server
	last   time.Duration
}

// count counts what it has taken since.
func (t *thread) count() {
	now := threadTime()
	t.server.spent.Add(int64(now - t.last))
	t.last = now
}

// metered is a connection of which every read is counted: a client may send byte by
// byte, and have the whole of mllbd wake up for each.
type metered struct {
	net.Conn
	*thread
	reads int
}

// Read implements net.Conn.
func (m *metered) Read(b []byte) (int, error) {
	defer m.count()
	if m.reads++; m.reads > maxReads {
		return 0, io.ErrUnexpectedEOF
	}
	if m.reads > freeReads {
		time.Sleep(readEvery) // and have more at once
	}
	return m.Conn.Read(b)
}

// cpuTime is what serving took so far.
func (s *server) cpuTime() time.Duration {
	if s == nil {
		return 0
	}
	return time.Duration(s.spent.Load())
}

// threadTime returns the CPU time of the calling thread.
func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// answer answers the first request on a connection.
func (s *server) answer(conn *metered, h http.Handler) {
	defer s.forget(conn)
	defer func() {
		if p := recover(); p != nil { // no reason to end with threads held
			s.log.Error("internal error", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	if !s.keep(conn) {
		return
	}
	_ = conn.SetDeadline(time.Now().Add(connTimeout))
	in := bufio.NewReader(io.LimitReader(conn, maxRequest))
	p := page{header: make(http.Header), status: http.StatusOK}
	req, err := http.ReadRequest(in)
	switch {
	case err == nil:
		h.ServeHTTP(&p, req)
	case errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.EOF):
		return
	default:
		http.Error(&p, "not a request of at most 8 KiB", http.StatusBadRequest)
	}
	out := http.Response{
		StatusCode: p.status, ProtoMajor: 1, ProtoMinor: 1, Header: p.header, Request: req, Close: true,
		Body: io.NopCloser(&p.body), ContentLength: int64(p.body.Len()),
	}
	if werr := out.Write(conn); werr == nil && (err != nil || in.Buffered() > 0) {
		linger(conn)
	}
}

// linger lets an answer arrive of which who asked sends more: closed with that
// unread, the connection would be reset (RFC 9112, 9.6).
func linger(m *metered) {
	if c, ok := m.Conn.(*net.TCPConn); !ok || c.CloseWrite() != nil {
		return
	}
	_ = m.SetReadDeadline(time.Now().Add(connLinger))
	m.reads = 0
	for b := make([]byte, 8*maxRequest); ; {
		if _, err := m.Read(b); err != nil {
			return
		}
	}
}

// keep has close end the connection too.
func (s *server) keep(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		return false
	}
	s.conns[conn] = struct{}{}
	return true
}

func (s *server) forget(conn net.Conn) {
	conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

// unhealthy says why the daemon is not well, or "".
func unhealthy(c counters, now time.Time, stale time.Duration) string {
	switch {
	case c.Last.IsZero() && c.LastErr == "":
		return "no tick yet"
	case now.Sub(c.Last) <= stale:
		return ""
	case c.LastErr != "":
		return "ticks fail: " + c.LastErr
	}
	return fmt.Sprintf("last tick was %v ago", now.Sub(c.Last).Round(time.Millisecond))
}

// close ends the server at once, with what it holds and holds back.
func (s *server) close() {
	_ = s.listener.Close()
	s.mu.Lock()
	for conn := range s.conns {
		conn.Close()
	}
	s.conns = nil
	s.mu.Unlock()
	for _, f := range s.reserve {
		f.Close()
	}
	s.reserve = nil
}

// cached answers with one rendering for a while, whoever asks how often.
type cached struct {
	of http.Handler

	mu   sync.Mutex
	at   time.Time
	page page
}

// page is an answer that waits to be sent.
type page struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (p *page) Header() http.Header         { return p.header }
func (p *page) WriteHeader(status int)      { p.status = status }
func (p *page) Write(b []byte) (int, error) { return p.body.Write(b) }

// ServeHTTP implements http.Handler.
func (c *cached) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	status, kind, body := c.render()
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// render returns the page, whose bytes nobody changes any more: who reads them may be slow.
func (c *cached) render() (status int, kind string, body []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.at) >= metricsFresh {
		c.page = page{header: make(http.Header), status: http.StatusOK}
		c.of.ServeHTTP(&c.page, &http.Request{Method: http.MethodGet, Header: make(http.Header)})
		c.at = now
	}
	return c.page.status, c.page.header.Get("Content-Type"), c.page.body.Bytes()
}

// limited is a listener that takes connections at a limited rate: the others wait in
// the kernel, at no cost to mllbd.
type limited struct {
	net.Listener
	done chan struct{}
	once sync.Once

	mu   sync.Mutex // of who accepts next
	paid time.Time  // by when all connections so far are paid for
}

func newLimited(l net.Listener) *limited { return &limited{Listener: l, done: make(chan struct{})} }

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if early := l.early(time.Now()); early > 0 {
		select {
		case <-time.After(early):
		case <-l.done:
			return nil, net.ErrClosed
		}
	}
	conn, err := l.Listener.Accept()
	if err == nil {
		l.pay(time.Now())
	}
	return conn, err
}

// early is how long the next connection has to wait.
func (l *limited) early(now time.Time) time.Duration {
	return l.paid.Add(-connBurst * connEvery).Sub(now)
}

func (l *limited) pay(now time.Time) {
	if l.paid.Before(now) {
		l.paid = now
	}
	l.paid = l.paid.Add(connEvery)
}

// Close implements net.Listener.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}
