#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs in a guest with mllb's patches: traces N decisions in mode shadow under the loads
# of lab record's profile diverse, into /out/trace. Each load ends with its share of
# them, or after two minutes: one that is nearly idle decides little.
#
#	mllb lab run --kernel PATH --out DIR --copy kernel/guest/shadow.sh -- sh shadow.sh 30000
set -eu

want=${1:-30000}
sched=/sys/kernel/debug/sched
tracing=/sys/kernel/tracing
cpus=$(nproc)
loads='
stressors 100 plain
stressors 200 fast
idle 25 hot
bursts 100 plain
bursts 200 hot
slices 100 plain
slices 200 hot
mixed 200 fast
mixed 100 buddy
memory 100 scan
memory 200 cold
nice 200 hot
throttled 200 fast
throttled 200 cold
pinned 200 buddy
forks 200 hot
'

decisions() { awk '$1 == "all" { print $2 + $3 + $4 + $5 + $8 }' $sched/mllb/stats; }

all() { # VALUE FILE...: into each
	value=$1
	shift
	for file; do echo "$value" >"$file"; done
}

fast() { # balance every 1 to 4 ms
	echo Y >$sched/verbose
	all 1 $sched/domains/cpu*/domain*/min_interval
	all 4 $sched/domains/cpu*/domain*/max_interval
	all 1 $sched/domains/cpu*/domain*/busy_factor
}

hot() { echo 5000000 >$sched/migration_cost_ns; }

scan() { # NUMA hinting faults within seconds
	echo 50 >$sched/numa_balancing/scan_delay_ms
	echo 50 >$sched/numa_balancing/scan_period_min_ms
	echo 500 >$sched/numa_balancing/scan_period_max_ms
}

tune() { # from what the kernel starts with to what the name says; fast stays
	echo 500000 >$sched/migration_cost_ns
	echo NO_NEXT_BUDDY >$sched/features
	case $1 in
	plain) ;;
	fast) fast ;;
	hot) fast; hot ;;
	scan) fast; scan ;;
	cold) fast; hot; scan ;;
	buddy) fast; hot; echo NEXT_BUDDY >$sched/features ;;
	esac
}

load() { # KIND PERCENT: starts it as $pid, a process group of its own
	n=$((cpus * $2 / 100))
	case $1 in
	stressors) setsid stress-ng --cpu "$n" --quiet & ;;
	throttled)
		mkdir -p /sys/fs/cgroup/throttled
		echo $((cpus * 5000)) 20000 >/sys/fs/cgroup/throttled/cpu.max
		setsid sh -c "echo \$\$ >/sys/fs/cgroup/throttled/cgroup.procs; exec mllb stress mixed --threads $n --procs 2 --seed $2" &
		;;
	*) setsid mllb stress "$1" --threads "$n" --procs 2 --seed "$2" & ;;
	esac
	pid=$!
}

echo 8192 >$tracing/buffer_size_kb # of each CPU: all decisions fit
echo 1 >$tracing/events/sched/sched_mllb_decision/enable
echo shadow >$sched/mllb/mode
share=$(((want + 15) / 16))
echo "$loads" | while read -r kind percent tuning; do
	[ -n "$kind" ] || continue
	tune "$tuning"
	before=$(decisions)
	load "$kind" "$percent"
	s=0
	while [ $(($(decisions) - before)) -lt $share ] && [ $s -lt 120 ]; do
		sleep 1
		s=$((s + 1))
	done
	kill -9 -$pid 2>/dev/null || true
	echo "$kind $percent % $tuning: $(($(decisions) - before)) in $s s"
done
# The rest under loads that decide much.
tune fast
load mixed 200
while [ "$(decisions)" -lt "$want" ]; do sleep 1; done
kill -9 -$pid
echo off >$sched/mllb/mode
echo 0 >$tracing/events/sched/sched_mllb_decision/enable
cat $tracing/trace >/out/trace
cat $sched/mllb/stats >/out/stats
tail -1 /out/stats
