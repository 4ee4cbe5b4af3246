#!/usr/bin/env bash
# Runs every fuzz target for a while: a smoke test, not a search. Stable Rust does, since no sanitizer is asked for; what libFuzzer itself sees is
# a panic, a hang and too much memory. docs/testing.md has the long way, and what it last found.
#
# usage: tests/fuzz.sh SECONDS
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { printf 'fuzz: %s\n' "$1" >&2; exit 1; }
[ $# -eq 1 ] || fail "say for how long: tests/fuzz.sh 60"
command -v cargo-fuzz >/dev/null || fail "cannot find cargo-fuzz: cargo +stable install --locked cargo-fuzz"

ran=0
for directory in host/fuzz plugins/*/fuzz; do
  for target in $(cargo fuzz list --fuzz-dir "$directory"); do
    printf 'fuzz: %s of %s\n' "$target" "$directory" >&2
    (cd "${directory%/fuzz}" && cargo fuzz run --sanitizer none "$target" -- -max_total_time="$1" -verbosity=0 -print_final_stats=1) \
      || fail "$target of $directory found something"
    ran=$((ran + 1))
  done
done
[ "$ran" -gt 0 ] || fail "there is no fuzz target"
printf 'fuzz: %s targets, %s s each, nothing found\n' "$ran" "$1" >&2
