#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Slurm's Prolog: makes the directory for the journals of a job's mllbd, which is its user's.
set -eu
export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
jobs=/run/mllb-jobs
install -d -m 755 "$jobs"
install -d -m 700 -o "$SLURM_JOB_UID" -g "$(id -g "$SLURM_JOB_UID")" "$jobs/$SLURM_JOB_ID"
