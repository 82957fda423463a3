#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A kernel with mllb's patches, from Debian's source package, in the user's cache
# directory. Each step is skipped where it was done.
#
#	build.sh check     the series applies to the source
#	build.sh stock     build with the series, but CONFIG_SCHED_MLLB=n
#	build.sh patched   build with CONFIG_SCHED_MLLB=y
#	build.sh debug     the same under lockdep, DEBUG_PREEMPT and X86_DEBUG_FPU
#	build.sh peers     the sched_ext schedulers that Linux has as examples (tools/sched_ext),
#	                   for that kernel; the last line is their directory
#	build.sh patches   put what src has into the series
#
# SERIES=6.1 makes that of Linux 6.1. The last line of output of a build is the path
# of its bzImage.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
series=${SERIES:-6.12}
patches=$here/patches/6.12
# Another kernel takes the series by a line of context. Where it does not have even that, the
# hunk is left out, and comes by a patch of the kernel's own.
case $series in
6.12) own= loosely= ;;
6.1) own=$here/patches/6.1 loosely="-C1 --exclude=MAINTAINERS --exclude=kernel/sched/debug.c --exclude=Documentation/scheduler/index.rst" ;;
*)
	echo "build.sh: no series for Linux $series: there are 6.12 and 6.1" >&2
	exit 2
	;;
esac
work=${XDG_CACHE_HOME:-$HOME/.cache}/mllb/kernel-$series
jobs=${JOBS:-$(nproc)}
cc=gcc
command -v ccache >/dev/null && cc="ccache gcc"

say() { echo "kernel: $*" >&2; }

# need COMMAND:PACKAGE... or FILE:PACKAGE...: installs what is missing.
need() {
	missing=
	for pair; do
		case $pair in
		/*) [ -e "${pair%:*}" ] ;;
		*) command -v "${pair%:*}" >/dev/null ;;
		esac || missing="$missing ${pair#*:}"
	done
	[ -z "$missing" ] && return
	say "installing$missing"
	apt-get update -qq
	# shellcheck disable=SC2086
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

# unpack DIRECTORY [FILE...]: the source of the newest version that Debian has, or of the
# one that is here.
unpack() {
	linux=$1
	shift
	mkdir -p "$work"
	[ -e "$linux.version" ] && return
	rm -rf "$work/deb" "$linux"
	mkdir "$work/deb" "$linux"
	say "getting linux-source-$series, 147 MB"
	(cd "$work/deb" && { apt-get download -qq "linux-source-$series" || { apt-get update -qq && apt-get download -qq "linux-source-$series"; }; }) || {
		say "apt-get cannot download linux-source-$series: is there a network, and Debian's source in sources.list?"
		exit 1
	}
	say "unpacking"
	for file; do set -- "$@" "linux-source-$series/$file" && shift; done
	dpkg --fsys-tarfile "$work"/deb/*.deb | tar xO "./usr/src/linux-source-$series.tar.xz" |
		tar xJ -C "$linux" --strip-components=1 "$@"
	dpkg-deb -f "$work"/deb/*.deb Version >"$linux.version.new"
	rm -r "$work/deb"
	mv "$linux.version.new" "$linux.version"
}

tree() { git -C "$linux" -c user.name=mllb -c user.email=mllb@localhost "$@"; }

# The files that the series changes and does not itself bring.
changed() {
	awk '$1 == "---" { new = $2 == "/dev/null" }
		/^\+\+\+ b\// { if (new) brought[$2]; else if (!($2 in brought)) print substr($2, 3) }' "$patches"/*.patch | sort -u
}

# Only those are under git; everything else needs no history.
apply() {
	sum=$(cat "$patches"/*.patch ${own:+"$own"/*.patch} | sha256sum)
	[ "$(cat "$linux.applied" 2>/dev/null)" = "$sum" ] && return
	rm -f "$linux.applied"
	if [ -e "$linux/.git" ]; then
		tree am --abort 2>/dev/null || true
		tree checkout -qf stock
	else
		tree init -q
	fi
	changed | while read -r file; do
		[ ! -e "$linux/$file" ] || tree add -f "$file"
	done
	tree diff --cached --quiet 2>/dev/null || tree commit -qm "linux-source-$series $(cat "$linux.version")"
	tree tag -f stock >/dev/null
	tree checkout -q --detach
	# shellcheck disable=SC2086
	tree am -q $loosely "$patches"/*.patch
	[ -z "$own" ] || tree am -q "$own"/*.patch
	echo "$sum" >"$linux.applied"
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
	[ -z "$own" ] || { say "what src has goes into the series for 6.12"; exit 2; }
	for file in "$here"/src/*; do
		path=$(in_tree "$(basename "$file")")
		cmp -s "$file" "$linux/$path" && continue
		cp "$file" "$linux/$path"
		tree commit -q --fixup "$(tree log -1 --format=%h stock.. -- "$path")" -- "$path"
	done
	GIT_SEQUENCE_EDITOR=true tree rebase -q -i --autosquash stock
	rm -f "$patches"/*.patch
	tree format-patch -q --no-signature --zero-commit -N -o "$patches" stock..HEAD
	cat "$patches"/*.patch | sha256sum >"$linux.applied"
}

# build NAME DIRECTORY FRAGMENT...: a bzImage of that name. Configurations that differ
# little share a directory, and so most objects.
build() {
	image=$work/bzImage-$1 out=$work/$2
	shift 2
	sum=$(cat "$linux.applied" "$@" | sha256sum)
	if [ -e "$image" ] && [ "$(cat "$image.of" 2>/dev/null)" = "$sum" ]; then
		echo "$image"
		return
	fi
	mkdir -p "$out"
	cd "$linux"
	if [ "$(cat "$@" | sha256sum)" != "$(cat "$out/.fragments" 2>/dev/null)" ]; then
		make -s O="$out" CC="$cc" tinyconfig
		scripts/kconfig/merge_config.sh -m -O "$out" "$out/.config" "$@" >/dev/null
		make -s O="$out" CC="$cc" olddefconfig
		cat "$@" | sha256sum >"$out/.fragments"
	fi
	say "building $image with $jobs jobs"
	# LOCALVERSION= keeps the git tree out of the version.
	make -s -j"$jobs" O="$out" CC="$cc" LOCALVERSION= KBUILD_BUILD_TIMESTAMP=@0 KBUILD_BUILD_VERSION=1 KBUILD_BUILD_USER=mllb KBUILD_BUILD_HOST=lab bzImage >&2
	cp "$out/arch/x86/boot/bzImage" "$image"
	echo "$sum" >"$image.of"
	echo "$image"
}

whole() {
	need git:git xz:xz-utils gcc:gcc make:make flex:flex bison:bison bc:bc pahole:dwarves cpio:cpio kmod:kmod rsync:rsync \
		/usr/include/stdio.h:libc6-dev /usr/include/libelf.h:libelf-dev /usr/include/openssl/ssl.h:libssl-dev
	unpack "$work/linux"
	apply
}

# peers: schedulers to compare with.
peers() {
	need clang-19:clang-19 /usr/include/zlib.h:zlib1g-dev
	say "building the schedulers of tools/sched_ext"
	mkdir -p "$work/peers"
	make -s -C "$linux/tools/sched_ext" -j"$jobs" O="$work/peers" CLANG=clang-19 VMLINUX_BTF="$work/build/vmlinux" \
		scx_simple scx_qmap scx_central scx_flatcg >&2
	echo "$work/peers/build/bin"
}

case ${1:-} in
check)
	need git:git xz:xz-utils
	# shellcheck disable=SC2046
	[ -e "$work/linux.version" ] && unpack "$work/linux" || unpack "$work/part" $(changed)
	apply
	say "the series applies to linux-source-$series $(cat "$linux.version")"
	;;
stock)
	whole
	build stock build "$here/config"
	;;
patched)
	whole
	build patched build "$here/config" "$here/config-mllb"
	;;
debug)
	whole
	build debug build-debug "$here/config" "$here/config-mllb" "$here/config-debug"
	;;
peers)
	whole
	build patched build "$here/config" "$here/config-mllb" >&2
	(peers)
	;;
patches)
	whole
	refold
	;;
*)
	sed -n '3,14s/^# \{0,1\}//p' "$0" >&2
	exit 2
	;;
esac
