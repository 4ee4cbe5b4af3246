#!/usr/bin/env bash
# Unpacks the Docker engine of a Debian suite into a root file system of its own, below .cache, and prints that directory.
# Nothing is started: tests/on-engine.sh does. Needs root.
#
#   tests/setup/other-engine.sh trixie
set -euo pipefail
# shellcheck source=tests/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# mount is for making it the root, procps for `docker top`, dockremap for an engine with `--userns-remap=default`.
include=docker.io,iptables,mount,passwd,procps

main() {
  local suite=${1:?which suite, such as trixie?}
  local root="$cache_dir/engines/$suite"
  lock_setup "engine-$suite"
  if [ ! -d "$root" ]; then
    mkdir -p "$(dirname "$root")"
    say "unpacking the Docker engine of Debian $suite (half a minute)"
    # The hooks' shell expands $1, the root directory.
    # shellcheck disable=SC2016
    unpack_suite "$suite" "$root" --variant=essential --include="$include" \
      --customize-hook='chroot "$1" useradd --system dockremap' \
      --customize-hook='echo dockremap:165536:65536 | tee "$1/etc/subuid" >"$1/etc/subgid"'
  fi
  echo "$root"
}

main "$@"
