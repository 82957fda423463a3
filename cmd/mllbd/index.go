// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"html"
	"net/http"
	"os"
	"strings"
	"time"

	"mllb/internal/version"
)

// index is the page at /: what runs here, how it is, and where to look further.
func (m *metrics) index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	host, _ := os.Hostname()
	fmt.Fprint(w, indexPage(host, m.id.Load(), m.stats.read(), time.Since(m.stats.start)))
}

func indexPage(host string, id *identity, c counters, up time.Duration) string {
	var b strings.Builder
	title := html.EscapeString(strings.TrimSpace("mllbd " + host))
	fmt.Fprintf(&b, "<!DOCTYPE html>\n<html lang=\"en\"><head><title>%s</title></head><body>\n<h1>%[1]s</h1>\n<table>\n", title)
	row := func(name, value string) {
		fmt.Fprintf(&b, "<tr><th align=\"left\">%s</th><td>%s</td></tr>\n", name, html.EscapeString(value))
	}
	row("version", version.Read().String())
	row("mode", id.Mode)
	row("policy", id.policy())
	row("snapshots", id.Backend)
	row("enforcer", id.Enforcer)
	row("up", up.Round(time.Second).String())
	row("threads", fmt.Sprintf("%d managed, %d held", c.Managed, c.Held))
	if c.LastErr != "" {
		row("last error", c.LastErr)
	}
	if c.Other != "" {
		row("standby", "beside the sched_ext scheduler "+c.Other)
	}
	for _, trouble := range c.Troubles {
		row("warning", trouble)
	}
	b.WriteString("</table>\n<p><a href=\"/metrics\">/metrics</a> for Prometheus, <a href=\"/healthz\">/healthz</a></p>\n</body></html>\n")
	return b.String()
}
