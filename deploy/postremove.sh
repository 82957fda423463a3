#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# After the files of a package are gone. dpkg says "purge" when the configuration goes too;
# rpm has no such step and says 0.
set -e
case "$1" in
purge | 0) rm -rf /run/mllb /var/log/mllb ;;
esac
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload || :
fi
