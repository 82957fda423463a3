#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Slurm's Epilog: what a killed mllbd of the job left is undone, as the job's user. Only
# processes that outlive the job have masks then. A journal that could not be obeyed is
# kept, and the system's log says so; the status is 0, for another would drain the node.
set -u
export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
job=/run/mllb-jobs/${SLURM_JOB_ID:?}
group=$(id -g "$SLURM_JOB_UID") || exit 0
for state in "$job"/*/; do
  [ -e "${state}journal" ] || continue
  said=$(setpriv --reuid "$SLURM_JOB_UID" --regid "$group" --clear-groups mllbd restore --state-dir "${state%/}" 2>&1) || {
    logger -t mllb-epilog "job $SLURM_JOB_ID: $said"
    exit 0
  }
done
rm -rf "$job"
