#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A kernel with mllb's patches, from Debian's source package, in the user's cache
# directory. Each step is skipped where it was done.
#
#	build.sh check     the series applies to the source
#	build.sh stock     build with the series, but CONFIG_SCHED_MLLB=n
#	build.sh patched   build with CONFIG_SCHED_MLLB=y
#	build.sh debug     the same under lockdep, DEBUG_PREEMPT and X86_DEBUG_FPU
#	build.sh patches   put what src has into the series
#
# The last line of output of a build is the path of its bzImage.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
series=6.12
patches=$here/patches/$series
work=${XDG_CACHE_HOME:-$HOME/.cache}/mllb/kernel-$series
jobs=${JOBS:-$(nproc)}
cc=gcc
command -v ccache >/dev/null && cc="ccache gcc"

say() { echo "kernel: $*" >&2; }

# What builds a kernel, and Debian's packages with it.
need() {
	missing=
	for pair in flex:flex bison:bison bc:bc pahole:dwarves cpio:cpio kmod:kmod rsync:rsync xz:xz-utils gcc:gcc make:make git:git; do
		command -v "${pair%:*}" >/dev/null || missing="$missing ${pair#*:}"
	done
	for pair in libelf.h:libelf-dev openssl/ssl.h:libssl-dev; do
		[ -e "/usr/include/${pair%:*}" ] || missing="$missing ${pair#*:}"
	done
	[ -z "$missing" ] && return
	say "installing$missing"
	# shellcheck disable=SC2086
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

# The source of the newest version that Debian has, or of the one that is here.
source_tree() {
	mkdir -p "$work"
	[ -e "$work/version" ] && return
	say "getting linux-source-$series"
	(cd "$work" && rm -f ./*.deb && apt-get download -qq "linux-source-$series" 2>/dev/null)
	rm -rf "$work/deb" "$work/linux"
	dpkg -x "$work"/linux-source-*.deb "$work/deb"
	mkdir "$work/linux"
	say "unpacking"
	tar xf "$work/deb/usr/src/linux-source-$series.tar.xz" -C "$work/linux" --strip-components=1
	dpkg-deb -f "$work"/linux-source-*.deb Version >"$work/version.new"
	rm -rf "$work/deb" "$work"/*.deb
	mv "$work/version.new" "$work/version"
}

tree() { git -C "$work/linux" -c user.name=mllb -c user.email=mllb@localhost "$@"; }

# The files that the series changes are under git; everything else needs no history.
apply() {
	sum=$(cat "$patches"/*.patch | sha256sum)
	[ "$(cat "$work/applied" 2>/dev/null)" = "$sum" ] && return
	rm -f "$work/applied"
	if [ -e "$work/linux/.git" ]; then
		tree am --abort 2>/dev/null || true
		tree checkout -qf stock
	else
		tree init -q
	fi
	sed -n 's#^--- a/##p' "$patches"/*.patch | sort -u | while read -r file; do
		[ ! -e "$work/linux/$file" ] || tree add -f "$file"
	done
	tree diff --cached --quiet 2>/dev/null || tree commit -qm "linux-source-$series $(cat "$work/version")"
	tree tag -f stock >/dev/null
	tree checkout -q --detach
	tree am -q "$patches"/*.patch
	echo "$sum" >"$work/applied"
}

# Where the series has a file of src.
in_tree() {
	case $1 in
	sched_mllb_trace.h) echo include/trace/events/sched_mllb.h ;;
	mllb.sh) echo tools/testing/selftests/sched/mllb.sh ;;
	*) echo "kernel/sched/$1" ;;
	esac
}

# Each changed file of src goes into the last patch that has to do with it. What else a
# patch changes is edited in $work/linux, and committed there as a fixup!.
refold() {
	for file in "$here"/src/*; do
		path=$(in_tree "$(basename "$file")")
		cmp -s "$file" "$work/linux/$path" && continue
		cp "$file" "$work/linux/$path"
		tree commit -q --fixup "$(tree log -1 --format=%h stock.. -- "$path")" -- "$path"
	done
	GIT_SEQUENCE_EDITOR=true tree rebase -q -i --autosquash stock
	rm -f "$patches"/*.patch
	tree format-patch -q --no-signature --zero-commit -N -o "$patches" stock..HEAD
	cat "$patches"/*.patch | sha256sum >"$work/applied"
}

# build NAME DIRECTORY FRAGMENT...: a bzImage of that name. Configurations that differ
# little share a directory, and so most objects.
build() {
	image=$work/bzImage-$1 out=$work/$2
	shift 2
	sum=$(cat "$work/applied" "$@" | sha256sum)
	if [ -e "$image" ] && [ "$(cat "$image.of" 2>/dev/null)" = "$sum" ]; then
		echo "$image"
		return
	fi
	mkdir -p "$out"
	cd "$work/linux"
	if [ "$(cat "$@" | sha256sum)" != "$(cat "$out/.fragments" 2>/dev/null)" ]; then
		make -s O="$out" CC="$cc" tinyconfig
		scripts/kconfig/merge_config.sh -m -O "$out" "$out/.config" "$@" >/dev/null
		make -s O="$out" CC="$cc" olddefconfig
		cat "$@" | sha256sum >"$out/.fragments"
	fi
	say "building $image with $jobs jobs"
	# LOCALVERSION= keeps the git tree out of the version.
	make -s -j"$jobs" O="$out" CC="$cc" LOCALVERSION= KBUILD_BUILD_TIMESTAMP=@0 KBUILD_BUILD_USER=mllb KBUILD_BUILD_HOST=lab bzImage >&2
	cp "$out/arch/x86/boot/bzImage" "$image"
	echo "$sum" >"$image.of"
	echo "$image"
}

case ${1:-} in
check)
	source_tree
	apply
	say "the series applies to linux-source-$series $(cat "$work/version")"
	;;
stock)
	need
	source_tree
	apply
	build stock build "$here/config-$series"
	;;
patched)
	need
	source_tree
	apply
	build patched build "$here/config-$series" "$here/config-$series-mllb"
	;;
debug)
	need
	source_tree
	apply
	build debug build-debug "$here/config-$series" "$here/config-$series-mllb" "$here/config-$series-debug"
	;;
patches)
	source_tree
	apply
	refold
	;;
*)
	sed -n '3,12s/^# \{0,1\}//p' "$0" >&2
	exit 2
	;;
esac
