#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Lays out what is installed: sh deploy/stage.sh ROOT PREFIX PROGRAMS NATIVE
#
# ROOT is made anew, with PREFIX and etc in it. PROGRAMS has mllbd, mllb and fibo of the machine to install
# on; NATIVE has them for this one, which prints their manual pages.
set -eu
cd "$(dirname "$0")/.."

root=$1 prefix=$2 programs=$3 native=$4
share=$root$prefix/share
rm -rf "$root"

put() { install -D -m "$1" "$2" "$3"; }

# fill FILE NAME: replaces what a template says of the program.
fill() {
  install -d "$(dirname "$3")"
  sed "s|NAME|$2|g" "$1" >"$3"
  chmod 644 "$3"
}

for name in mllbd mllb fibo; do
  put 755 "$programs/$name" "$root$prefix/bin/$name"
  fill deploy/completion.bash $name "$share/bash-completion/completions/$name"
  fill deploy/completion.zsh $name "$share/zsh/site-functions/_$name"
  fill deploy/completion.fish $name "$share/fish/vendor_completions.d/$name.fish"
  "$native/$name" --man-pages | awk -v share="$share" '
    /^\.\\" page / {
      if (f) close(f)
      section = $3; sub(/.*\./, "", section)
      dir = share "/man/man" section
      system("install -d \"" dir "\"")
      f = dir "/" $3
    }
    { print > f }'
done
chmod 644 "$share"/man/man[18]/mllb*.[18] "$share/man/man1/fibo.1"
gzip -9nf "$share"/man/man[18]/mllb*.[18] "$share/man/man1/fibo.1"

for unit in deploy/systemd/*.service; do
  install -d "$root$prefix/lib/systemd/system"
  sed "s|/usr/bin/|$prefix/bin/|" "$unit" >"$root$prefix/lib/systemd/system/${unit##*/}"
  chmod 644 "$root$prefix/lib/systemd/system/${unit##*/}"
done
for profile in cmd/mllbd/profiles/*.yaml; do
  put 644 "$profile" "$share/mllb/profiles/${profile##*/}"
done
for script in deploy/slurm/*; do
  put 755 "$script" "$share/mllb/slurm/${script##*/}"
done
for file in prometheus/scrape.yml prometheus/mllb.rules.yml grafana/mllb.json kubernetes/daemonset.yaml kubernetes/Dockerfile; do
  put 644 "deploy/$file" "$share/mllb/$file"
done
put 644 deploy/mllbd.yaml "$root/etc/mllb/mllbd.yaml"

for doc in README.md CHANGELOG.md; do
  put 644 $doc "$share/doc/mllb/$doc"
done
put 644 LICENSE "$share/doc/mllb/LICENSE"
for licence in LICENSES/*; do
  put 644 "$licence" "$share/doc/mllb/LICENSES/${licence##*/}"
done
sh deploy/copyright.sh >"$share/doc/mllb/copyright"
chmod 644 "$share/doc/mllb/copyright"
