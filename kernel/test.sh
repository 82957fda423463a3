#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds stock, patched and debug kernels and proves in guests what docs/KERNEL.md says of
# them. What a step found is kept in results/ beside the kernels; a step that passed
# on the same kernel is not repeated.
#
#	test.sh [STEP...]   boot, shadow, soak, cost; default: all of them, or of SERIES=6.1
#	                    boot and shadow
set -eu

here=$(cd "$(dirname "$0")" && pwd)
mllb=${MLLB:-$here/../bin/mllb}
work=${XDG_CACHE_HOME:-$HOME/.cache}/mllb/kernel-${SERIES:-6.12}
results=$work/results
cd "$here/.."
mkdir -p "$results"

# once STEP KERNEL COMMAND...: runs it unless it passed on that kernel
once() {
	step=$1 sum=$(sha256sum <"$2")
	shift 2
	if [ "$(head -1 "$results/$step" 2>/dev/null)" = "$sum" ]; then
		echo "$step: passed before, see $results/$step"
		return
	fi
	echo "$step: $*"
	{ echo "$sum"; "$@" || echo FAILED; } 2>&1 | tee "$results/$step.new"
	! tail -1 "$results/$step.new" | grep -qx FAILED || exit 1
	mv "$results/$step.new" "$results/$step"
}

live() { # KERNEL TESTS FLAGS...
	kernel=$1 tests=$2
	shift 2
	"$mllb" lab test --verbose --retries 0 --kernel "$kernel" --match "$tests" "$@" kernel/live
}

cost() { # KERNEL
	CGO_ENABLED=0 go test -c -o "$work/live.test" ./kernel/live &&
		"$mllb" lab run --icount --kernel "$1" --topology 2x1x2 --timeout 2h --copy "$work/live.test" -- \
			live.test -test.run - -test.bench Cost
}

# The file stays, as results/trace: mllb eval --trace judges it again.
shadow() {
	"$mllb" lab run --kernel "$1" --topology 2x4x2 --timeout 2h --out "$results/shadow.out" \
		--copy kernel/guest/shadow.sh -- sh shadow.sh 30000 &&
		mv "$results/shadow.out/trace" "$results/trace" && rm -r "$results/shadow.out" &&
		"$mllb" eval --trace "$results/trace"
}

patched=$(sh kernel/build.sh patched)
if [ $# -eq 0 ]; then
	set -- boot shadow
	[ "${SERIES:-6.12}" != 6.12 ] || set -- "$@" soak cost
fi
for step; do
	case $step in
	boot) once boot "$patched" live "$patched" 'KUnit|Selftest|Hostile|Unprivileged' --topology 2x4x2 ;;
	shadow) once shadow "$patched" shadow "$patched" ;;
	soak)
		debug=$(sh kernel/build.sh debug)
		once soak "$debug" live "$debug" 'KUnit|Selftest|Soak' --topology 2x1x2 --timeout 1h
		;;
	cost)
		stock=$(sh kernel/build.sh stock)
		once cost-stock "$stock" cost "$stock"
		once cost-patched "$patched" cost "$patched"
		;;
	*)
		echo "test.sh: no step $step" >&2
		exit 2
		;;
	esac
done
