#!/usr/bin/env bash
# Installs what the tests need beside Rust and an engine, when it is missing and this user may.
set -euo pipefail
# shellcheck source=tests/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# sshd is in /usr/sbin, which not every user has on the path.
PATH=$PATH:/usr/sbin:/sbin
need cc gcc
need fish fish
need git git
need mkntfs ntfs-3g
need perl perl
need ssh-keygen openssh-client
need strace strace
need zsh zsh
need bwrap bubblewrap
need catatonit catatonit
need newuidmap uidmap
need podman podman
need runc runc
[ -e /usr/lib/podman/netavark ] || packages+=(netavark)
need sshd openssh-server
# A test runs what the distribution has of these: a program of the same name that somebody put elsewhere does not count.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
need convert imagemagick
need curl curl
need javac default-jdk-headless
need openssl openssl
need php php-cli
need python3 python3
[ ${#packages[@]} -gt 0 ] || exit 0

mkdir -p "$cache_dir"
# The tests start an sshd of their own; the system's must not begin to serve because of them.
keep_services_down
install_packages "what the tests need" "${packages[@]}"
# Nor at the next boot.
case " ${packages[*]} " in *" openssh-server "*) as_root update-rc.d ssh disable >&2 ;; esac
