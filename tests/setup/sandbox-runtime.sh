#!/usr/bin/env bash
# Makes Anthropic's sandbox-runtime exist below .cache, for the bench, and prints its program. Its own needs come with it.
set -euo pipefail
# shellcheck source=tests/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

prefix="$cache_dir/sandbox-runtime"
program="$prefix/node_modules/.bin/srt"

lock_setup sandbox-runtime
need rg ripgrep
need socat socat
need bwrap bubblewrap
need npm npm
[ ${#packages[@]} -eq 0 ] || install_packages "sandbox-runtime" "${packages[@]}"
if [ ! -x "$program" ]; then
  say "installing sandbox-runtime below $prefix"
  npm install --prefix "$prefix" --no-fund --no-audit --loglevel=error @anthropic-ai/sandbox-runtime >&2 \
    || fail "installing sandbox-runtime failed" "npm install --prefix $prefix @anthropic-ai/sandbox-runtime"
fi
echo "$program"
