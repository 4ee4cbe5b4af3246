#!/usr/bin/env bash
# Makes the engine have the agent's image, as the first start of a bottle does, in a home that goes with the script. Tests find it
# there then, and need not wait for each other while the first of them builds it. Needs a built workspace.
set -euo pipefail
# shellcheck source=tests/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

program="$root_dir/target/debug/claude-bottle"
[ -x "$program" ] || fail "the program is not built" "make build"
base=$("$root_dir/tests/setup/base-image.sh")
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
mkdir "$home/work"
printf 'bottles:\n  dev: {}\nagents:\n  first: { bottle: dev, command: ["true"] }\n' >"$home/claude-bottle.yaml"
cd "$home/work"
# The environment that the tests give the program: another one could make another image.
env -i PATH="$PATH" HOME="$home" ${DOCKER_HOST:+DOCKER_HOST="$DOCKER_HOST"} CLAUDE_BOTTLE_BASE_IMAGE="$base" \
  CLAUDE_BOTTLE_BACKEND=docker "$program" start first --yes >&2 || fail "the agent's image cannot be built" "$program doctor"
