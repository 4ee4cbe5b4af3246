#!/usr/bin/env bash
# Makes Podman have the images that the tests run bottles from: the agent's and, as root, a small one for an ordinary user that it
# makes. They come from the Docker engine of this machine; nothing is pulled. Prints the directory with what the tests need to know.
#
# What is odd about a machine is said in a containers.conf of the tests' own, which nothing else reads: in hybrid control groups
# only runc makes containers, and a machine without systemd has neither its control groups nor its journal.
set -euo pipefail
# shellcheck source=tests/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# The user has numbers for a container's users of its own, which useradd writes into /etc/subuid.
user=claude-bottle-tester
place="$cache_dir/podman"

install_podman() {
  need podman podman
  need catatonit catatonit
  need newuidmap uidmap
  PATH=$PATH:/usr/sbin:/sbin need runc runc
  [ -e /usr/lib/podman/netavark ] || packages+=(netavark)
  [ ${#packages[@]} -eq 0 ] || install_packages "Podman" "${packages[@]}"
}

write_settings() {
  mkdir -p "$place"
  {
    echo '[engine]'
    echo 'runtime = "runc"'
    [ -d /run/systemd/system ] || printf '%s\n' 'cgroup_manager = "cgroupfs"' 'events_logger = "file"'
  } >"$place/containers.conf"
}

# as_user COMMAND…: runs a command as the ordinary user, in its home.
as_user() {
  local home
  home=$(getent passwd "$user" | cut -d: -f6)
  (cd / && as_root setpriv --reuid "$user" --regid "$user" --clear-groups \
    env -i PATH="$PATH" HOME="$home" CONTAINERS_CONF="/var/tmp/$user.conf" "$@")
}

# load IMAGE WHO…: loads an image of the engine's into a Podman, unless it has this very one.
load() {
  local image=$1 id
  shift
  id=$(docker image inspect --format '{{.Id}}' "$image") || fail "the engine has no image $image" "make agent-image"
  [ "$("$@" podman image inspect --format 'sha256:{{.Id}}' "localhost/$image" 2>/dev/null)" = "$id" ] && return
  say "loading $image into Podman"
  docker save "$image" | "$@" podman load >/dev/null 2>"$place/load.log" || {
    cat "$place/load.log" >&2
    fail "Podman does not take the image $image"
  }
}

main() {
  lock_setup podman
  install_podman
  write_settings
  export CONTAINERS_CONF="$place/containers.conf"
  load claude-bottle:latest env
  # Another user than root is the ordinary one of all tests.
  if [ "$(id -u)" = 0 ]; then make_user; fi
  echo "$place"
}

# Makes the ordinary user, and lets its Podman have an image.
make_user() {
  id "$user" >/dev/null 2>&1 || useradd --create-home --shell /bin/sh "$user" || fail "cannot make the user $user"
  grep -q "^$user:" /etc/subuid || fail "the user $user has no numbers in /etc/subuid" "usermod --add-subuids 300000-365535 --add-subgids 300000-365535 $user"
  install -m 644 "$place/containers.conf" "/var/tmp/$user.conf"
  load "$("$root_dir/tests/setup/small-image.sh")" as_user
}

main "$@"
