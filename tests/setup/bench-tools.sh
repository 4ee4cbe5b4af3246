#!/usr/bin/env bash
# Installs what `bench guard` measures the egress guard against: squid and tinyproxy, when missing and this user may.
set -euo pipefail
# shellcheck source=tests/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# Neither is to run as a service: the bench starts each on loopback with a configuration of its own. Packages ask this
# file before they start a service: https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt
policy=/usr/sbin/policy-rc.d

# squid is in /usr/sbin, which not every user has on the path.
PATH=$PATH:/usr/sbin:/sbin
packages=()
need() { command -v "$1" >/dev/null || packages+=("$2"); }
need squid squid
need tinyproxy tinyproxy-bin
[ ${#packages[@]} -gt 0 ] || exit 0

mkdir -p "$cache_dir"
if [ ! -e "$policy" ] && can_be_root; then
  trap 'as_root rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
  as_root chmod 755 "$policy"
fi
install_packages "the bench of the egress guard" "${packages[@]}"
