#!/usr/bin/env bash
# Makes the programs of the profiles exist below .cache/agents: codex, gemini, opencode and aider, as their makers publish them. For the
# tests of `make test-agents` on backends without an image; a user installs one as its profile says.
set -euo pipefail
# shellcheck source=tests/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

prefix="$cache_dir/agents"
packages_of_npm="@openai/codex @google/gemini-cli opencode-ai"

lock_setup agents
need npm npm
python3 -c 'import ensurepip' 2>/dev/null || packages+=(python3-venv)
[ ${#packages[@]} -eq 0 ] || install_packages "programs of agents" "${packages[@]}"
if ! "$prefix/node_modules/.bin/codex" --version >/dev/null 2>&1; then
  say "installing $packages_of_npm below $prefix"
  # shellcheck disable=SC2086
  npm install --prefix "$prefix" --no-fund --no-audit --loglevel=error $packages_of_npm >&2 \
    || fail "installing $packages_of_npm failed" "npm install --prefix $prefix $packages_of_npm"
fi
if ! "$prefix/aider/bin/aider" --version >/dev/null 2>&1; then
  say "installing aider-chat below $prefix"
  python3 -m venv "$prefix/aider"
  "$prefix/aider/bin/pip" install --quiet --disable-pip-version-check aider-chat >&2 \
    || fail "installing aider-chat failed" "$prefix/aider/bin/pip install aider-chat"
fi
echo "$prefix"
