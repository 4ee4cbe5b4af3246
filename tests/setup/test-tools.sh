#!/usr/bin/env bash
# Installs what the tests need beside Rust and an engine, when it is missing and this user may.
set -euo pipefail
# shellcheck source=tests/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

packages=()
need() { command -v "$1" >/dev/null || packages+=("$2"); }
need cc gcc
need git git
need ssh-keygen openssh-client
need bwrap bubblewrap
[ ${#packages[@]} -eq 0 ] || install_packages "what the tests need" "${packages[@]}"
