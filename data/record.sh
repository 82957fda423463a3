#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# record.sh DIR: records the datasets next to this script again, all but
# sample.parquet: run by run below DIR, then merged. If it is stopped, the same
# command resumes with the runs that DIR lacks. MLLB names the program.
set -eu
dir=${1:?usage: record.sh DIR}
data=$(dirname "$0")
mllb=${MLLB:-mllb}

record() { # record KERNEL PROFILE FLAGS...: then pack
  kernel=$1 profile=$2
  shift 2
  "$mllb" lab record --kernel "$kernel" --profile "$profile" --out "$dir/$kernel-$profile" "$@"
  "$mllb" dataset merge --force --out "$dir/$kernel-$profile.parquet" "$dir/$kernel-$profile"/*.parquet
  "$mllb" dataset check "$dir/$kernel-$profile.parquet"
}

"$mllb" lab fetch 6.12 7.2
record 6.12 diverse --records 650000 --duration 90s
record 6.12 paper --records 30000 --duration 5m
record 7.2 diverse --records 60000 --seeds 1 --duration 60s
mv "$dir"/*.parquet "$data"
