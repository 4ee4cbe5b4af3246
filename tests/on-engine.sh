#!/usr/bin/env bash
# Runs a command beside another Docker engine than the machine's: the one of a Debian suite.
#
#   tests/on-engine.sh SUITE [DOCKERD-OPTION…] -- COMMAND…
#   tests/on-engine.sh trixie -- cargo test -p claude-bottle-backend-docker --test engine
#   tests/on-engine.sh sid --userns-remap=default -- cargo test …
#
# Engine and command share network and process namespaces that are made for them, so that both end when the command does, and
# see no other network than the engine's own. The images that tests need are carried in from the machine's engine. Needs root.
set -euo pipefail
# shellcheck source=tests/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/setup/common.sh"
setup="$root_dir/tests/setup"

# What is sent to the rest of the world leaves, and nothing comes back.
make_world() {
  "$setup/world.sh"
  ip neighbour add 198.51.100.1 lladdr 02:00:00:00:00:01 dev world
}

# What lies below /sys/class/net belongs to the namespace that sysfs was mounted in.
mount_sys() {
  local kept=$1
  mkdir "$kept"
  mount --rbind /sys/fs/cgroup "$kept"
  mount -t sysfs sysfs /sys
  mount --move "$kept" /sys/fs/cgroup
}

# Runs the engine with the suite's files as its root. A root directory alone (chroot) would not do: a program that joins a container
# comes out at the root of the mount namespace.
start_dockerd() {
  local root=$1 work=$2
  shift 2
  # shellcheck disable=SC2016
  unshare --mount -- sh -eu -c '
    root=$1 work=$2
    shift 2
    mount --bind "$root" "$root"
    for shared in /proc /sys /dev "$work"; do
      mkdir -p "$root$shared"
      mount --rbind "$shared" "$root$shared"
    done
    mount -t tmpfs -o mode=755 run "$root/run"
    mkdir -p "$root/old"
    cd "$root"
    pivot_root . old
    umount -l /old
    exec dockerd "$@"
  ' sh "$root" "$work" --data-root "$work/data" --host "unix://$work/docker.sock" --exec-opt native.cgroupdriver=cgroupfs "$@" \
    >"$work/dockerd.log" 2>&1 &
}

answers() { docker version --format '{{.Server.Version}}'; }

# The part inside of the namespaces: ROOT WORK DOCKERD-OPTION… -- COMMAND…
inside() {
  local root=$1 work=$2 options=()
  shift 2
  while [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  shift
  make_world
  mount_sys "$work/cgroup"
  start_dockerd "$root" "$work" "${options[@]}"
  export DOCKER_HOST="unix://$work/docker.sock"
  poll 150 answers || { tail -n 20 "$work/dockerd.log" >&2; fail "the engine did not start"; }
  docker load --quiet --input "$work/images.tar" >/dev/null
  say "Docker engine $(answers) answers"
  "$@"
}

main() {
  local suite=$1 root work name code=0
  shift
  [ "$(id -u)" -eq 0 ] || fail "another engine needs root" "sudo $0 $suite $*"
  root=$("$setup/other-engine.sh" "$suite")
  # A socket's path has room for 107 bytes.
  work=$(mktemp -d /tmp/engine-XXXXXX)
  name="claude-bottle-$(basename "$work")"
  # shellcheck disable=SC2064
  trap "'$setup/remove-control-groups.sh' '$name'; rm -rf '$work'" EXIT
  # The users of a remapped engine reach their files through it.
  chmod 711 "$work"
  CLAUDE_BOTTLE_BASE_IMAGE=$("$setup/base-image.sh")
  export CLAUDE_BOTTLE_BASE_IMAGE
  docker save --output "$work/images.tar" "$CLAUDE_BOTTLE_BASE_IMAGE" claude-bottle:latest
  unshare --net --mount --pid --fork --kill-child --mount-proc -- \
    "${BASH_SOURCE[0]}" --inside "$root" "$work" --cgroup-parent "/$name" "$@" || code=$?
  return "$code"
}

case " $* " in
  " --inside "*) shift && inside "$@" ;;
  " "[a-z]*" -- "*) main "$@" ;;
  *) fail "which suite, and which command?" "tests/on-engine.sh trixie -- docker version" ;;
esac
