#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Copies what deploy/stage.sh laid out in STAGE to DESTDIR, or removes it from there:
#
#	sh deploy/install.sh install|uninstall STAGE [DESTDIR]
#
# A configuration that was changed is neither overwritten nor removed. Without DESTDIR it is
# this machine's, and systemd and what mllbd holds are seen to, as by the packages.
set -eu
verb=$1 stage=$2 dest=${3:-}
here=$(dirname "$0")

[ "$verb$dest" != uninstall ] || sh "$here/preremove.sh" remove
(cd "$stage" && find . -type f) | LC_ALL=C sort | while read -r file; do
  file=${file#./} to=$dest/${file#./}
  case $file in
  etc/*)
    if [ -e "$to" ] && ! cmp -s "$stage/$file" "$to"; then
      echo "$to was changed and stays as it is" >&2
      continue
    fi
    ;;
  esac
  if [ "$verb" = install ]; then
    install -D -m "$(stat -c %a "$stage/$file")" "$stage/$file" "$to"
  else
    rm -f "$to"
  fi
done
case $verb in
install) [ -n "$dest" ] || sh "$here/postinstall.sh" ;;
uninstall)
  (cd "$stage" && find . -depth -type d -path '*/mllb*') | while read -r dir; do
    [ ! -d "$dest/$dir" ] || rmdir --ignore-fail-on-non-empty "$dest/$dir"
  done
  [ -n "$dest" ] || sh "$here/postremove.sh" remove
  ;;
esac
