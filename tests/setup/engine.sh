#!/usr/bin/env bash
# Makes a Docker engine answer on this machine: does nothing when one does, else starts it, else installs and starts it.
# Never touches an engine the user chose by DOCKER_HOST or by a context. CLAUDE_BOTTLE_NO_INSTALL=1 forbids installing.
set -euo pipefail
# shellcheck source=tests/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

log="$cache_dir/engine/dockerd.log"
manual_start="sudo systemctl start docker"

answers() { docker version --format '{{.Server.Version}}'; }

# True when the client talks to the engine of this machine, which is the only one this script may start.
engine_is_local() {
  case "${DOCKER_HOST:-}" in
    "" | unix:///var/run/docker.sock | unix:///run/docker.sock) ;;
    *) return 1 ;;
  esac
  local context
  context=$(docker context show 2>/dev/null || echo default)
  [ "$context" = default ]
}

refuse_other_systems() {
  if [ "$(uname -s)" = Darwin ]; then
    fail "no Docker engine answers" "open -a Docker    # starts Docker Desktop; then run this again"
  fi
  [ "$(uname -s)" = Linux ] || fail "no Docker engine answers, and this script can start one on Linux only" "start the engine by hand"
}

refuse_missing_permission() {
  if [ -S /var/run/docker.sock ] && [ ! -w /var/run/docker.sock ]; then
    fail "the engine's socket /var/run/docker.sock is there, but this user may not write to it" \
      "sudo usermod -aG docker $(id -un)    # equal to giving root; log in again afterwards"
  fi
}

# An existing client stays in place: it negotiates the version with the engine.
install_engine() {
  install_packages "the Docker engine" docker.io iptables
  hash -r
  # Debian 13 and later have the client in a package of its own.
  if ! command -v docker >/dev/null; then install_packages "the Docker client" docker-cli; fi
  hash -r
}

# A pid file may outlive its process, when a machine is restored from a snapshot for example. dockerd refuses to start when
# any process has that pid, whatever it is.
remove_stale_pid_file() {
  local file=$1 name=$2 pid
  pid=$(as_root cat "$file" 2>/dev/null) || return 0
  if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != "$name" ]; then as_root rm -f "$file"; fi
}

start_detached() {
  mkdir -p "$(dirname "$log")"
  remove_stale_pid_file /var/run/docker.pid dockerd
  remove_stale_pid_file /var/run/docker/containerd/containerd.pid containerd
  say "starting dockerd in the background (log: $log)"
  # The lock's descriptor must not live on in the daemon, nor this terminal.
  as_root setsid nohup "$(command -v dockerd || echo /usr/sbin/dockerd)" >"$log" 2>&1 </dev/null 9>&- &
}

start_engine() {
  can_be_root || fail "the Docker engine is installed but does not run, and this user may not start it" "$manual_start"
  if [ -d /run/systemd/system ]; then
    say "starting the Docker engine with systemctl"
    as_root systemctl start docker || fail "systemctl start docker failed" "systemctl status docker; journalctl -u docker -n 50"
  else
    start_detached
  fi
}

show_why_it_failed() {
  if [ -f "$log" ]; then tail -n 15 "$log" >&2; fi
  fail "the Docker engine was started but does not answer after 60 s" "docker version; tail $log"
}

main() {
  if answers >/dev/null 2>&1; then return 0; fi
  refuse_other_systems
  engine_is_local || fail "no Docker engine answers at the one chosen (DOCKER_HOST or docker context)" "docker context ls; docker version"
  refuse_missing_permission
  lock_setup engine
  if answers >/dev/null 2>&1; then return 0; fi
  if ! command -v dockerd >/dev/null && [ ! -x /usr/sbin/dockerd ]; then install_engine; fi
  start_engine
  if ! poll 300 answers; then
    refuse_missing_permission
    show_why_it_failed
  fi
  say "Docker engine $(answers) answers"
}

main "$@"
