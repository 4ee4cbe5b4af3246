#!/usr/bin/env bash
# Adds gVisor's runsc to the local engine's runtimes (gvisor.sh), or takes it out again (gvisor.sh --unregister).
# From then on `docker info` lists it, and the docker backend uses it for every agent container: a test that wants it
# registers it, and unregisters it at its end. The engine reloads its settings; running containers are not disturbed.
set -euo pipefail
# shellcheck source=tests/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

config=/etc/docker/daemon.json

# runsc takes a network namespace with this file for the host's own and refuses it (isRootNS in runsc/sandbox/network.go of
# https://github.com/google/gvisor). Recent kernels (6.18, for one) show it in every namespace. With --network=host, runsc uses the sockets of the
# namespace that the engine made for the container; the container still sees only its own networks.
network_options() {
  if as_root unshare --net test -e /proc/sys/net/core/rmem_default; then echo "--network=host"; fi
}

listed() { docker info --format '{{json .Runtimes}}' | grep -q '"runsc"'; }
not_listed() { ! listed; }

reload_engine() {
  local pid
  pid=$(as_root cat /var/run/docker.pid 2>/dev/null) || fail "the engine of this machine does not run" "tests/setup/engine.sh"
  as_root kill -HUP "$pid"
}

register() {
  if listed; then return 0; fi
  if ! command -v runsc >/dev/null; then install_packages "gVisor" runsc; fi
  say "adding runsc to the engine's runtimes in $config"
  # The platform ptrace needs neither KVM nor a particular kernel.
  # shellcheck disable=SC2046
  as_root runsc install --runtime runsc -- --platform=ptrace $(network_options) >/dev/null 2>&1 \
    || fail "runsc install could not write $config"
  reload_engine
  poll 50 listed || fail "the engine does not list runsc after reloading" "docker info; cat $config"
}

unregister() {
  if ! listed; then return 0; fi
  say "taking runsc out of the engine's runtimes in $config"
  as_root runsc uninstall --runtime runsc >/dev/null 2>&1 || fail "runsc uninstall could not write $config"
  reload_engine
  poll 50 not_listed || fail "the engine still lists runsc after reloading" "docker info; cat $config"
}

main() {
  docker version >/dev/null 2>&1 || fail "no Docker engine answers" "tests/setup/engine.sh"
  lock_setup gvisor
  case "${1:-}" in
    "") register ;;
    --unregister) unregister ;;
    *) fail "\`$1\` is no option of this script" "gvisor.sh [--unregister]" ;;
  esac
}

main "$@"
