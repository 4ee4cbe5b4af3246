#!/usr/bin/env bash
# Prints the path of a gVisor runtime that works on this machine, and nothing else on stdout. Installs Debian's package when there is none.
#
# It is added to no engine: one that lists a runtime `runsc` uses it for every bottle from then on. An engine of a test's own gets it
# as `{"runtimes": {"runsc": {"path": "…"}}}`.
set -euo pipefail
# shellcheck source=tests/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# gVisor before August 2024 takes a network namespace that has this file for the machine's own, and refuses it (isRootNS in
# runsc/sandbox/network.go of https://github.com/google/gvisor). Kernels of today (6.18, for one) have it in every namespace.
tell_tale=/proc/sys/net/core/rmem_default
wrapper="$cache_dir/gvisor/runsc"

# Writes a program that hides the file from runsc, in a mount namespace that runsc alone sees. Nothing else of runsc's work depends on
# the directory: its network stack is its own.
wrap() {
  mkdir -p "$(dirname "$wrapper")"
  cat >"$wrapper.new" <<EOF
#!/bin/sh
exec unshare --mount --propagation private sh -c 'mount -t tmpfs -o mode=755 none /proc/sys/net && exec $1 "\$@"' runsc "\$@"
EOF
  chmod 755 "$wrapper.new"
  mv "$wrapper.new" "$wrapper"
}

main() {
  local runsc
  lock_setup gvisor
  if ! command -v runsc >/dev/null; then install_packages "gVisor" runsc; fi
  runsc=$(command -v runsc)
  if as_root unshare --net test -e "$tell_tale"; then
    wrap "$runsc"
    runsc=$wrapper
  fi
  echo "$runsc"
}

main "$@"
