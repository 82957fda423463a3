#!/bin/sh
# SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
#
# Modes, arithmetics, refused models and counters of CONFIG_SCHED_MLLB. With a model as
# $1 (mllb export --kernel), also that one is taken and that what is made of it is not.

dir=/sys/kernel/debug/sched/mllb
events=/sys/kernel/tracing/events/sched/sched_mllb_decision
failed=0
n=0

# ok NAME COMMAND...: the command must succeed
ok()
{
	name=$1
	shift
	n=$((n + 1))
	if "$@"; then
		echo "ok $n $name"
	else
		echo "not ok $n $name"
		failed=1
	fi
}

put()
{
	echo "$2" 2>/dev/null >"$dir/$1"
}

chosen()
{
	grep -qF "[$2]" "$dir/$1"
}

refused()
{
	! cat "$1" 2>/dev/null >"$dir/model"
}

# Sum of the columns of "all" from $1 to $2
total()
{
	awk -v a="$1" -v b="$2" '
		$1 == "all" { for (i = a; i <= b; i++) s += $i; print s + 0 }
	' "$dir/stats"
}

load()
{
	i=0
	while [ $i -lt $(($(nproc) * 3)) ]; do
		(end=$(($(date +%s) + $1)); while [ "$(date +%s)" -lt $end ]; do :; done) &
		i=$((i + 1))
	done
	wait
}

rises() # COLUMN COLUMN: some decisions are counted there under load
{
	before=$(total "$1" "$2")
	load 4
	[ "$(total "$1" "$2")" -gt "$before" ]
}

stands() # nothing is counted under load
{
	before=$(total 2 8)
	load 2
	[ "$(total 2 8)" -eq "$before" ]
}

if [ ! -d $dir ]; then
	echo "1..0 # SKIP no $dir"
	exit 4
fi
tmp=$(mktemp -d)
trap 'echo off >$dir/mode; rm -rf "$tmp"' EXIT

ok "mode is off at first" chosen mode off
ok "off asks nobody" stands
for mode in shadow replace off; do
	ok "mode $mode is taken" put mode $mode
	ok "mode $mode holds" chosen mode $mode
done
ok "an unknown mode is refused" sh -c "! echo on 2>/dev/null >$dir/mode"

put mode shadow
echo 1 >$events/enable
ok "shadow counts both verdicts" rises 2 5
ok "decisions are traced" grep -q sched_mllb_decision: /sys/kernel/tracing/trace
echo 0 >$events/enable
put mode replace
ok "replace counts the network's" rises 6 7

if [ -e $dir/arith ]; then
	ok "float is taken" put arith float
	ok "float holds" chosen arith float
	ok "float judges" rises 9 9
	ok "fixed is taken" put arith fixed
fi

crc=$(grep crc $dir/model)
head -c 100000 /dev/zero >"$tmp/huge"
head -c 1000 /dev/zero >"$tmp/zeros"
for bad in huge zeros; do
	ok "$bad is refused" refused "$tmp/$bad"
done
if [ -n "$1" ]; then
	head -c 1000 "$1" >"$tmp/truncated"
	(printf 'MLLB\002'; tail -c +6 "$1") >"$tmp/version"
	(head -c 60 "$1"; printf '\377'; tail -c +62 "$1") >"$tmp/flipped"
	for bad in truncated version flipped; do
		ok "$bad is refused" refused "$tmp/$bad"
	done
	ok "the old model stays" grep -q "$crc" $dir/model
	ok "a sound model is taken" sh -c "cat $1 >$dir/model"
	ok "it is the one in use" grep -q "source loaded" $dir/model
fi

echo "1..$n"
exit $failed
