#!/usr/bin/env bash
# Makes a browser and what it looks at exist, and prints their directory below .cache: Debian's Chromium on this machine and in an image of the
# base image's, `claude-bottle-browsers:latest`, with Vite and Playwright of npm, which brings no browser of its own here.
set -euo pipefail
# shellcheck source=tests/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

dir="$cache_dir/browsers"
npm_packages="vite@8.4.0 playwright-core@1.65.1"
key=$(sha256sum "${BASH_SOURCE[0]}")
key_label="io.claude-bottle.browsers-image.key"
image=claude-bottle-browsers:latest

lock_setup browsers
command -v chromium >/dev/null || install_packages "a browser that bottles are looked at with" chromium
if [ "$(cat "$dir/key" 2>/dev/null)" != "$key" ]; then
  command -v npm >/dev/null || fail "npm is missing, which gets Vite and Playwright" "install npm as its makers say"
  say "installing $npm_packages below $dir"
  rm -rf "$dir"
  mkdir -p "$dir"
  # shellcheck disable=SC2086
  (cd "$dir" && npm install --prefix . --no-fund --no-audit --loglevel=error $npm_packages >&2) || fail "installing $npm_packages failed"
  echo "$key" >"$dir/key"
fi
base=$("$root_dir/tests/setup/base-image.sh")
image_key=$({ docker image inspect --format '{{.Id}}' "$base"; echo "$key"; } | sha256sum | cut -c1-32)
if [ "$(docker image inspect --format "{{index .Config.Labels \"$key_label\"}}" "$image" 2>/dev/null)" != "$image_key" ]; then
  say "making $image from $base and Debian's Chromium"
  docker build --quiet --label "$key_label=$image_key" --tag "$image" - >&2 <<END || fail "the image $image cannot be built" "docker build it by hand"
FROM $base
RUN apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install chromium >/dev/null && rm -rf /var/lib/apt/lists/*
END
fi
echo "$dir"
