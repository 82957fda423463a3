#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Prints what the programs are made of and under which licences: mllb's own, Go's, and
# those of the modules that are linked, as each module's files have them.
set -eu
cd "$(dirname "$0")/.."
GO=${GO:-go}

echo "mllb is under the Apache License 2.0 (LICENSE), its eBPF and kernel code under GPL-2.0"
echo "or BSD-2-Clause (LICENSES). The programs also contain what follows."
files() { find "$1" -maxdepth 1 -type f -iname 'licen[cs]e*' -o -maxdepth 1 -type f -iname 'unlicense*' -o -maxdepth 1 -type f -iname 'copying*' -o -maxdepth 1 -type f -iname 'notice*'; }
{
  echo "Go $($GO env GOVERSION) $($GO env GOROOT)"
  $GO list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' ./cmd/...
} | LC_ALL=C sort -u | while read -r name version dir; do
  printf '\n\n==== %s %s\n' "$name" "$version"
  found=$(files "$dir" | LC_ALL=C sort)
  [ -n "$found" ] || { echo "copyright: $name $version has no licence file in $dir" >&2; exit 1; }
  for f in $found; do
    echo
    cat "$f"
  done
done
