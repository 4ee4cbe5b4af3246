#!/usr/bin/env bash
# Makes installers of programs exist below .cache, and prints their directory: pnpm, yarn, mise and uv. What they install in
# tests are packages that the tests make, without a network.
set -euo pipefail
# shellcheck source=tests/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

dir="$cache_dir/installers"
case $(uname -m) in aarch64) arch=arm64 ;; *) arch=x64 ;; esac
versions="pnpm@12.21.0 yarn@1.22.22 @jdxcode/mise-linux-$arch@2026.9.15 uv@0.13.9"

lock_setup installers
if [ "$(cat "$dir/versions" 2>/dev/null)" != "$versions" ]; then
  need npm npm
  /usr/bin/python3 -m pip --version >/dev/null 2>&1 || packages+=(python3-pip)
  [ ${#packages[@]} -eq 0 ] || install_packages "installers of programs" "${packages[@]}"
  say "installing $versions below $dir"
  rm -rf "$dir"
  mkdir -p "$dir/bin"
  # shellcheck disable=SC2086
  npm install --prefix "$dir" --no-fund --no-audit --loglevel=error ${versions% *} >&2 \
    || fail "installing ${versions% *} failed" "npm install --prefix $dir ${versions% *}"
  /usr/bin/python3 -m pip download --quiet --no-deps --only-binary :all: --dest "$dir" "uv==${versions##*@}" >&2 \
    || fail "getting uv failed" "python3 -m pip download uv==${versions##*@}"
  /usr/bin/python3 -m zipfile -e "$dir"/uv-*.whl "$dir/uv"
  cp "$dir"/uv/uv-*.data/scripts/uv "$dir/bin/uv"
  cp "$dir/node_modules/@jdxcode/mise-linux-$arch/bin/mise" "$dir/bin/mise"
  chmod 755 "$dir/bin/uv" "$dir/bin/mise"
  rm -rf "$dir/uv" "$dir"/uv-*.whl "$dir/node_modules/@jdxcode"
  echo "$versions" >"$dir/versions"
fi
echo "$dir"
