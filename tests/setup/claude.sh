#!/usr/bin/env bash
# Makes the real Claude Code CLI exist below .cache, and prints the directory its program is in. For tests and the demo
# of backends without an image; a user installs the CLI as its makers say.
set -euo pipefail
# shellcheck source=tests/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

prefix="$cache_dir/claude"
bin="$prefix/node_modules/.bin"

lock_setup claude
if ! "$bin/claude" --version >/dev/null 2>&1; then
  command -v npm >/dev/null || install_packages "the Claude Code CLI" npm
  say "installing the Claude Code CLI below $prefix"
  # The version is named, since npm prefers an old one when this machine's node is older than the package asks for;
  # the program is a native one and needs no node.
  version=$(npm view @anthropic-ai/claude-code dist-tags.latest)
  npm install --prefix "$prefix" --no-fund --no-audit --loglevel=error "@anthropic-ai/claude-code@$version" >&2 \
    || fail "installing the Claude Code CLI failed" "npm install --prefix $prefix @anthropic-ai/claude-code"
  "$bin/claude" --version >/dev/null || fail "the Claude Code CLI does not run" "rm -rf $prefix"
fi
echo "$bin"
