#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# picture.sh FRAME: runs the demo at a terminal of its own, and prints frame number FRAME of
# its live view, two a second, as an SVG. `make picture` writes docs/view.svg that way.
frame=${1:?usage: picture.sh FRAME}
screen=$(mktemp)
trap 'rm -f "$screen"' EXIT
run="${MLLBD:-bin/mllbd} run --mode own --hold busy --view -- sh cmd/mllbd/demo.sh"
LC_ALL=C.UTF-8 TERM=xterm script -qec "stty cols 100 rows 25 && $run" "$screen" >/dev/null </dev/null || exit

# Each frame but the first begins by moving the cursor up over the one before. By bytes: not
# every awk knows of others.
LC_ALL=C awk -v frame="$frame" '
  BEGIN { fill[31] = "#ff7b72"; fill[32] = "#7ee787"; fill[33] = "#e3b341"; fill[36] = "#79c0ff"; fill[90] = "#6e7681" }
  { gsub(/\r/, ""); if (/\033\[[0-9]+A/) { if (drawn++ == frame) exit; n = 0 }
    gsub(/\033\[[0-9]*[A-JL-Za-ln-z]|\033\[K/, ""); line[n++] = $0 }
  END {
    if (drawn < frame) { print "picture.sh: the view had only " drawn " frames" > "/dev/stderr"; exit 1 }
    while (n > 0 && columns(line[n-1]) == 0) n--
    for (i = 0; i < n; i++) if (columns(line[i]) > width) width = columns(line[i])
    print "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" width * 8 + 32 "\" height=\"" n * 20 + 56 "\" viewBox=\"0 0 " width * 8 + 32 " " n * 20 + 56 "\">"
    print "<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#1b1f24\"/>"
    print "<g font-family=\"ui-monospace,monospace\" font-size=\"13\" fill=\"#d0d7de\">"
    row("$ make run", 0)
    for (i = 0; i < n; i++) row(line[i], i + 1)
    print "</g>\n</svg>"
  }
  function columns(text) { gsub(/\033\[[0-9;]*m/, "", text); gsub(/[\200-\277]/, "", text); return length(text) }
  function row(text, i,    width, out, style, k, codes) {
    width = columns(text) * 8
    if (width == 0) return
    gsub(/&/, "\\&amp;", text); gsub(/</, "\\&lt;", text); gsub(/>/, "\\&gt;", text)
    while (match(text, /\033\[[0-9;]*m/)) {
      out = out substr(text, 1, RSTART - 1) (style != "" ? "</tspan>" : ""); style = ""
      split(substr(text, RSTART + 2, RLENGTH - 3), codes, ";")
      for (k in codes) {
        if (codes[k] in fill) style = style " fill=\"" fill[codes[k]] "\""
        if (codes[k] == "1") style = style " font-weight=\"bold\""
        if (codes[k] == "2") style = style " opacity=\"0.6\""
        if (codes[k] == "4") style = style " text-decoration=\"underline\""
      }
      if (style != "") out = out "<tspan" style ">"
      text = substr(text, RSTART + RLENGTH)
    }
    out = out text (style != "" ? "</tspan>" : "")
    print "<text x=\"16\" y=\"" 28 + 20 * i "\" textLength=\"" width "\" xml:space=\"preserve\">" out "</text>"
  }
' "$screen"
