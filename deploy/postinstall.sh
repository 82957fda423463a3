#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# After the files of a package are there. Nothing is enabled or started: that is for the
# administrator to say. A service that runs goes on with the new program.
set -e
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload || :
  systemctl try-restart mllbd.service || :
fi
