#!/usr/bin/env bash
# Installs what `bench guard` measures the egress guard against: squid, tinyproxy and mitmdump, when missing and this user may.
set -euo pipefail
# shellcheck source=tests/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# squid is in /usr/sbin, which not every user has on the path.
PATH=$PATH:/usr/sbin:/sbin
# Only this build of squid opens tunnels; it takes the place of the other.
[ -e /usr/lib/squid/security_file_certgen ] || packages+=(squid-openssl)
need mitmdump mitmproxy
need tinyproxy tinyproxy-bin
[ ${#packages[@]} -gt 0 ] || exit 0

mkdir -p "$cache_dir"
# Neither is to run as a service: the bench starts each on loopback with a configuration of its own.
keep_services_down
install_packages "the bench of the egress guard" "${packages[@]}"
