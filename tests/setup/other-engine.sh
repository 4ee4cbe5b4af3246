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

# The hooks' shell expands $1, the root directory.
# shellcheck disable=SC2016
unpack() {
  local suite=$1 root=$2 mirror
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | head -n 1)
  # An archive that is kept at one day is still the suite.
  { apt-config dump Acquire --format '%F "%v";%n'; echo 'Acquire::Check-Valid-Until "false";'; } >"$root.apt"
  as_root rm -rf "$root.part"
  as_root mmdebstrap --quiet --variant=essential --include="$include" --aptopt="$root.apt" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --customize-hook='chroot "$1" useradd --system dockremap' \
    --customize-hook='echo dockremap:165536:65536 | tee "$1/etc/subuid" >"$1/etc/subgid"' \
    "$suite" "$root.part" ${mirror:+"$mirror"} >&2
  rm "$root.apt"
  as_root mv "$root.part" "$root"
}

main() {
  local suite=${1:?which suite, such as trixie?}
  local root="$cache_dir/engines/$suite"
  lock_setup "engine-$suite"
  if [ ! -d "$root" ]; then
    need mmdebstrap mmdebstrap
    [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || packages+=(debian-archive-keyring)
    [ ${#packages[@]} -eq 0 ] || install_packages "another engine" "${packages[@]}"
    mkdir -p "$(dirname "$root")"
    say "unpacking the Docker engine of Debian $suite (half a minute)"
    unpack "$suite" "$root" || fail "the packages of $suite cannot be had" "sudo apt-get update"
  fi
  echo "$root"
}

main "$@"
