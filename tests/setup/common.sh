# shellcheck shell=bash
# What the set-up scripts share: short messages on stderr, running as root, and the cache directory. Sourced, never run.
# Plain enough for the bash 3.2 of macOS, since engine.sh has to get as far as saying what to do there.

root_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache_dir="$root_dir/.cache"

say() { printf 'setup: %s\n' "$*" >&2; }

# fail MESSAGE [HINT]: ends the script with the message and, on its own line, a command to paste.
fail() {
  printf 'error: %s\n' "$1" >&2
  if [ "$#" -gt 1 ]; then printf '\nhint: %s\n' "$2" >&2; fi
  exit 1
}

# Runs a command as root: directly, or through sudo. sudo may ask for a password only where somebody can answer.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif [ -t 0 ]; then
    sudo -- "$@"
  else
    sudo -n -- "$@"
  fi
}

can_be_root() {
  [ "$(id -u)" -eq 0 ] && return 0
  command -v sudo >/dev/null || return 1
  [ -t 0 ] || sudo -n true 2>/dev/null
}

# need PROGRAM PACKAGE: notes in `packages` the package of a program that is not there.
packages=()
need() { command -v "$1" >/dev/null || packages+=("$2"); }

# Until the script ends, no package that it installs starts a service. Packages ask this file before they start one:
# https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt
keep_services_down() {
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ] && can_be_root; then
    trap 'as_root rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
  fi
}

# install_packages WHY PACKAGE…: installs Debian packages, or ends with the command the user has to give.
install_packages() {
  local why=$1
  shift
  local manual="sudo apt-get update && sudo apt-get install --no-install-recommends $*"
  command -v apt-get >/dev/null || fail "$why needs the packages $*, and this system has no apt-get" "install them by hand"
  [ -z "${CLAUDE_BOTTLE_NO_INSTALL:-}" ] || fail "$why needs the packages $*, and CLAUDE_BOTTLE_NO_INSTALL is set" "$manual"
  can_be_root || fail "$why needs the packages $*, and this user may not install them" "$manual"
  say "installing $* ($why)"
  as_root apt-get -qq update >&2 || fail "apt-get update failed" "$manual"
  # Not through a pager, not asking, and not starting services: the caller starts what it wants.
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$@" >"$cache_dir/apt.log" 2>&1 || {
    tail -n 20 "$cache_dir/apt.log" >&2
    fail "installing $* failed (log: $cache_dir/apt.log)" "$manual"
  }
}

# unpack_suite SUITE ROOT MMDEBSTRAP-OPTION…: unpacks packages of a Debian suite into a root file system, from this machine's archive.
unpack_suite() {
  local suite=$1 root=$2 mirror
  shift 2
  need mmdebstrap mmdebstrap
  [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || packages+=(debian-archive-keyring)
  [ ${#packages[@]} -eq 0 ] || install_packages "a root file system of $suite" "${packages[@]}"
  # shellcheck disable=SC2016
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | head -n 1)
  # An archive that is kept at one day is still the suite.
  { apt-config dump Acquire --format '%F "%v";%n'; echo 'Acquire::Check-Valid-Until "false";'; } >"$root.apt"
  as_root rm -rf "$root.part"
  as_root mmdebstrap --quiet --aptopt="$root.apt" --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    "$@" "$suite" "$root.part" ${mirror:+"$mirror"} >&2 || fail "the packages of $suite cannot be had" "sudo apt-get update"
  rm "$root.apt"
  as_root mv "$root.part" "$root"
}

# poll TRIES COMMAND…: asks every 0.2 s until the command succeeds. Bounded, so that a dead service is an error and not a hang.
poll() {
  local tries=$1
  shift
  while [ "$tries" -gt 0 ]; do
    if "$@" >/dev/null 2>&1; then return 0; fi
    tries=$((tries - 1))
    sleep 0.2
  done
  return 1
}

# One set-up at a time in a checkout; `make demo` and `make test` may well run together. The lock is freed when the script ends.
lock_setup() {
  mkdir -p "$cache_dir"
  command -v flock >/dev/null || return 0
  exec 9>"$cache_dir/$1.lock"
  flock -n 9 || { say "waiting for another run of $1"; flock 9; }
}
