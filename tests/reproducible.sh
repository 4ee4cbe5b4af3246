#!/usr/bin/env bash
# Holds that two builds of the programs that run beside an agent give the same bytes: in two directories whose names differ in length, with
# two homes of cargo, other time zones, locales, file modes and numbers of jobs. It builds the last commit, and what was changed since is left out.
#
# usage: tests/reproducible.sh PROGRAM…
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { printf 'reproducible: %s\n' "$1" >&2; exit 1; }
[ $# -gt 0 ] || fail "name the programs: tests/reproducible.sh egress-guard bottle-guest"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
downloaded=${CARGO_HOME:-$HOME/.cargo}/registry

# build DIRECTORY COMMAND…: builds in a directory of its own, by a command before `make`, and prints the hashes.
build() {
  local directory=$work/$1; shift
  mkdir -p "$directory/sources" "$directory/cargo/registry"
  # What was downloaded already is not asked for again; its sources are unpacked again, where this build looks for them.
  for part in cache index; do [ ! -d "$downloaded/$part" ] || cp -a "$downloaded/$part" "$directory/cargo/registry/"; done
  git archive HEAD | tar -x -C "$directory/sources"
  env -u CARGO_TARGET_DIR CARGO_HOME="$directory/cargo" HOME="$directory" RUSTUP_HOME="${RUSTUP_HOME:-$HOME/.rustup}" "$@" \
    make --no-print-directory -C "$directory/sources" companions >&2 || fail "the build in $directory failed"
  (cd "$directory/sources/target/libexec/claude-bottle" && sha256sum "${programs[@]}")
}

programs=("$@")
one=$(build one env TZ=UTC LC_ALL=C CARGO_BUILD_JOBS=3)
rm -rf "$work/one"
other=$(umask 077 && build another/and/deeper env TZ=Asia/Tokyo LC_ALL=C.UTF-8)
[ "$one" = "$other" ] || fail "$(printf 'two builds differ:\n%s\n%s' "$one" "$other")"
printf '%s\n' "$one"
