#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# demo.sh [SECONDS]: a load that needs balancing, for 20 seconds by default. Four
# busy loops per CPU; after a third of the time those on CPU 0 end, and the rest
# crowd the other CPUs until somebody moves them.
seconds=${1:-20}
loops=
stop() { kill $loops 2>/dev/null; wait 2>/dev/null; }
trap 'stop; exit 130' INT TERM

i=0
while [ "$i" -lt $(($(nproc) * 4)) ]; do
  sh -c 'while :; do :; done' &
  loops="$loops $!"
  i=$((i + 1))
done

sleep $((seconds / 3))
for pid in $loops; do
  # Field 39 of proc_pid_stat(5) is the CPU the process last ran on.
  [ "$(cut -d' ' -f39 "/proc/$pid/stat" 2>/dev/null)" = 0 ] && kill "$pid"
done
sleep $((seconds - seconds / 3))
stop
exit 0
