#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Benchmarks guests whose CPUs share those of this host: docs/CONTENTION.md.
#
#	contention.sh SITUATION DIR [FLAGS OF MLLB BENCH]
#
# writes DIR/SITUATION. It needs host CPUs 0 and 1, alone. Each guest makes two
# more runs of everything, so that one that dies costs no more, and an
# interrupted series goes on with the same command.
set -eu

: "${MLLB:=mllb}" "${KERNEL:=6.12}" "${RUNS:=12}" "${LIMIT:=12h}"
: "${ARMS:=stock,assist,own,assist-probe=assist:topology=probe,own-probe=own:topology=probe,own:never,again=stock}"
: "${WORKLOADS:=even@25% even@50% even@75% even@100% even@150% uneven@50% uneven@100% spin@50% spin@100% fibo}"
: "${JOBS=2 4 6}"

situation=${1:?SITUATION: stacked, told, plain, slow or changing} dir=${2:?DIR}
shift 2

# changes takes half of CPU 3's speed and gives it back, 20 s each, for a day.
changes() {
  at=20
  while [ $at -lt 86400 ]; do
    printf ',3=20@%ds,3=40@%ds' $at $((at + 20))
    at=$((at + 40))
  done
}

# Four CPUs of two fifths of a host CPU each do not notice each other, and leave
# the rest of QEMU a fifth.
apart='--topology 1x4x1 --host-cpus 0,0,1,1 --slow 0=40,1=40,2=40'
case $situation in
stacked) guest='--topology 1x2x2 --tell 1x4x1 --host-cpus 0,0,1,1' ;;
told) guest='--topology 1x2x2 --host-cpus 0,0,1,1' ;;
plain) guest="$apart,3=40" ;;
slow) guest="$apart,3=20" ;;
changing) guest="$apart,3=40$(changes)" ;;
*) echo "contention.sh: $situation is not one of stacked, told, plain, slow, changing" >&2 && exit 2 ;;
esac

here=$(dirname "$0")
for w in $WORKLOADS; do set -- --workload "$w" "$@"; done
if make=$(command -v make); then
  for n in $JOBS; do set -- --workload "cmd:make -j$n -f /root/jobs.mk" "$@"; done
fi
mkdir -p "$dir/$situation"
runs=$(cat "$dir/$situation/rounds" 2>/dev/null || echo 0)
while [ $runs -lt "$RUNS" ]; do
  runs=$((runs + 2 < RUNS ? runs + 2 : RUNS))
  # shellcheck disable=SC2086 # guest is words
  "$MLLB" lab run --kernel "$KERNEL" $guest --timeout "$LIMIT" --out "$dir" \
    --copy "$here/jobs.mk" ${make:+--copy "$make"} --copy "$dir/$situation:/root/before" -- \
    sh -c 'mkdir -p "/out/$0" && cp -r /root/before/. "/out/$0" && exec mllb bench --out "/out/$0" "$@"' \
    "$situation" --arms "$ARMS" --runs $runs "$@"
  echo $runs >"$dir/$situation/rounds"
done
