#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# picture.sh FRAME: runs the demo at a terminal of its own, and prints frame number FRAME of
# its live view, one a second, as an SVG. `make picture` writes docs/view.svg that way.
frame=${1:?usage: picture.sh FRAME}
screen=$(mktemp)
trap 'rm -f "$screen"' EXIT
run="${MLLBD:-bin/mllbd} run --mode own --hold busy --view -- sh cmd/mllbd/demo.sh"
TERM=xterm script -qec "stty cols 100 && $run" "$screen" >/dev/null </dev/null || exit

# Each frame but the first begins by moving the cursor up over the one before.
awk -v frame="$frame" '
  { gsub(/\r/, ""); if (/\033\[[0-9]+A/) { if (drawn++ == frame) exit; n = 0 }
    gsub(/\033\[[0-9]*[A-Za-z]/, ""); if ($0 != "") line[n++] = $0 }
  END {
    if (drawn < frame) { print "picture.sh: the view had only " drawn " frames" > "/dev/stderr"; exit 1 }
    for (i = 0; i < n; i++) if (length(line[i]) > width) width = length(line[i])
    print "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" width * 8 + 32 "\" height=\"" n * 20 + 56 "\" viewBox=\"0 0 " width * 8 + 32 " " n * 20 + 56 "\">"
    print "<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#1b1f24\"/>"
    print "<g font-family=\"ui-monospace,monospace\" font-size=\"13\" fill=\"#d0d7de\">"
    row("$ make run", 0)
    for (i = 0; i < n; i++) row(line[i], i + 1)
    print "</g>\n</svg>"
  }
  function row(text, i,    width) {
    width = length(text) * 8
    gsub(/&/, "\\&amp;", text); gsub(/</, "\\&lt;", text); gsub(/>/, "\\&gt;", text)
    print "<text x=\"16\" y=\"" 28 + 20 * i "\" textLength=\"" width "\" xml:space=\"preserve\">" text "</text>"
  }
' "$screen"
