#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Before the files of a package go. dpkg says "remove" and rpm 0, unless it is an upgrade.
set -e
case "$1" in
remove | 0)
  if [ -d /run/systemd/system ]; then
    systemctl disable --now mllbd.service mllbd-restore.service || :
  fi
  if [ -e /run/mllb/journal ]; then
    mllbd restore || echo "mllb: threads may keep a narrowed affinity mask until they or the system end" >&2
  fi
  ;;
esac
