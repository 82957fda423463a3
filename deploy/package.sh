#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the packages: sh deploy/package.sh NATIVE OUT ARCH...
#
# NATIVE has the programs of this machine. The same commit makes the same bytes:
# SOURCE_DATE_EPOCH is the time of everything.
set -eu
cd "$(dirname "$0")/.."
native=$1 out=$2
shift 2

# Neither format takes a "-" in a version. Without a tag it sorts before any release.
case $VERSION in
v[0-9]*) PACKAGE_VERSION=$(echo "${VERSION#v}" | sed 's/-/+/; s/-/./g') ;;
*) PACKAGE_VERSION=0~$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d).$(echo "$VERSION" | sed 's/-/./g') ;;
esac
export PACKAGE_VERSION ARCH STAGE

mkdir -p "$out"
for ARCH; do
  GOARCH=$ARCH make -s build BIN="$native/linux-$ARCH"
  STAGE=$native/linux-$ARCH/stage
  sh deploy/stage.sh "$STAGE" /usr "$native/linux-$ARCH" "$native"
  for format in deb rpm; do
    $GO tool -modfile=deploy/tools.mod nfpm package --config deploy/nfpm.yaml --packager $format --target "$out"
  done
done
