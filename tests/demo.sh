#!/usr/bin/env bash
# Runs the main job end to end on this machine: the real Claude Code CLI answers from inside a bottle.
#
# usage: tests/demo.sh docker|bubblewrap
# With CLAUDE_BOTTLE_OAUTH_TOKEN set it talks to the real API; without, to a small stand-in on this machine.
set -euo pipefail
cd "$(dirname "$0")/.."
backend=${1:-docker}

step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

home=$(mktemp -d)
standin_pid=
# Invoked by the trap.
# shellcheck disable=SC2329
clean_up() {
  [ -z "$standin_pid" ] || kill "$standin_pid" 2>/dev/null || true
  rm -rf "$home"
}
trap clean_up EXIT

step "Set up"
tests/setup/test-tools.sh
case "$backend" in
  docker)
    tests/setup/engine.sh
    if [ -z "${CLAUDE_BOTTLE_BASE_IMAGE:-}" ]; then
      CLAUDE_BOTTLE_BASE_IMAGE=$(tests/setup/base-image.sh)
      export CLAUDE_BOTTLE_BASE_IMAGE
    fi
    # The stand-in serves on a bridge of the tests' own: `docker0` is one name for all engines of a machine.
    network=claude-bottle-tests
    docker network inspect "$network" >/dev/null 2>&1 || docker network create "$network" >/dev/null
    api_address=$(docker network inspect "$network" --format '{{(index .IPAM.Config 0).Gateway}}')
    ;;
  bubblewrap)
    tests/setup/claude.sh >/dev/null
    PATH="$(tests/setup/claude.sh):$PATH"
    api_address=127.0.0.1
    ;;
  *) echo "usage: tests/demo.sh docker|bubblewrap" >&2; exit 2 ;;
esac

step "Build"
make --no-print-directory build

mkdir -p "$home/.claude/skills/greet" "$home/work" "$home/.ssh"
echo "a private key of the host" >"$home/.ssh/id_demo"
cat >"$home/.claude/skills/greet/SKILL.md" <<'SKILL'
---
name: greet
description: How people are greeted here
---
Say hello, and say where you are.
SKILL
echo "# A project" >"$home/work/README.md"

if [ -n "${CLAUDE_BOTTLE_OAUTH_TOKEN:-}" ]; then
  api="the real API"
  cat >"$home/claude-bottle.yaml" <<'MANIFEST'
bottles:
  demo: {}
MANIFEST
else
  api="a stand-in for the API on this machine (set CLAUDE_BOTTLE_OAUTH_TOKEN to use the real one)"
  export CLAUDE_BOTTLE_OAUTH_TOKEN=demo-token
  target/debug/standin --listen "$api_address:0" --record "$home/requests.jsonl" \
    --reply "Hello from inside the bottle. I tried a host that is not on the list, and looked for your ssh keys:
{output}" \
    --run "curl -sS http://example.com/; echo; ls ~/.ssh; id -un; uname -n; echo 'It says hello.' >>README.md" \
    >"$home/standin" &
  standin_pid=$!
  for _ in $(seq 50); do [ -s "$home/standin" ] && break; sleep 0.1; done
  port=$(cut -d: -f2 "$home/standin")
  cat >"$home/claude-bottle.yaml" <<MANIFEST
bottles:
  demo:
    env:
      ANTHROPIC_BASE_URL: http://api.standin.test:$port
      CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1"
    egress:
      allowlist: ["api.standin.test:$port"]
      hosts: { api.standin.test: $api_address }
      private: [{ host: api.standin.test, range: $api_address/32 }]
MANIFEST
fi
cat >>"$home/claude-bottle.yaml" <<'MANIFEST'
agents:
  demo:
    bottle: demo
    skills: [greet]
    prompt: You are inside a bottle. Answer in one or two sentences.
MANIFEST

bottle() { (cd "$home/work" && HOME=$home CLAUDE_BOTTLE_BACKEND=$backend "$OLDPWD/target/debug/claude-bottle" "$@"); }

step "Claude Code, in a bottle, with $api"
bottle start demo --cwd --timings --print "Say hello"

step "What it asked the egress guard for"
bottle logs demo --egress

step "What it changed, looked at and taken"
bottle diff
bottle apply --yes
cat "$home/work/README.md"

step "The conversation goes on, in a new bottle"
bottle resume --print "Say hello once more"

step "What is left"
bottle list active
bottle cleanup --dry-run
