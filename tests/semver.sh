#!/usr/bin/env bash
# Holds the Rust interface of plugin-api against an earlier one: what a backend's author compiles against breaks with a new major version only.
#
# usage: tests/semver.sh [REVISION]
# Without a revision it is the last release's tag; before there is one, the commit that gave plugin-api the version that it has.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { printf 'semver: %s\n' "$1" >&2; exit 1; }
command -v cargo-semver-checks >/dev/null || fail "cannot find cargo-semver-checks: cargo +stable install --locked cargo-semver-checks"

baseline=${1:-$(git tag --list 'v[0-9]*' --sort=-version:refname --merged HEAD | head -n 1)}
if [ -z "$baseline" ]; then
  version=$(grep -m 1 '^version = ' plugin-api/Cargo.toml)
  baseline=$(git log --format=%H --max-count=1 -S"$version" -- plugin-api/Cargo.toml)
fi
git rev-parse --quiet --verify "$baseline^{commit}" >/dev/null || fail "there is no revision \`$baseline\` to compare with; is this a clone without history?"
printf 'semver: compared with %s\n' "$(git log -1 --format='%h, %s' "$baseline")" >&2
# Without its features, all of which the tool turns on by itself: `kit` is the conformance kit, which grows with each rule.
cargo semver-checks --only-explicit-features --package claude-bottle-plugin-api --baseline-rev "$baseline"
