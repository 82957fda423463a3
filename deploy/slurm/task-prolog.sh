#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Slurm's TaskProlog: each task's mllbd has a state directory of its own.
echo "export MLLBD_STATE_DIR=/run/mllb-jobs/$SLURM_JOB_ID/${SLURM_STEP_ID:-batch}.$SLURM_PROCID"
