#!/usr/bin/env bash
# Makes two readers of HTTP archives exist below .cache, and prints their directory: har-validator of npm, which has the format's schema, and
# haralyzer of PyPI.
set -euo pipefail
# shellcheck source=tests/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

dir="$cache_dir/har-readers"
versions="har-validator@5.1.5 haralyzer==2.4.0"

lock_setup har-readers
if [ "$(cat "$dir/versions" 2>/dev/null)" != "$versions" ]; then
  need npm npm
  /usr/bin/python3 -m pip --version >/dev/null 2>&1 || packages+=(python3-pip)
  [ ${#packages[@]} -eq 0 ] || install_packages "readers of HTTP archives" "${packages[@]}"
  say "installing $versions below $dir"
  rm -rf "$dir"
  mkdir -p "$dir"
  npm install --prefix "$dir" --no-fund --no-audit --loglevel=error "${versions% *}" >&2 \
    || fail "installing ${versions% *} failed" "npm install --prefix $dir ${versions% *}"
  PIP_ROOT_USER_ACTION=ignore /usr/bin/python3 -m pip install --quiet --only-binary :all: --target "$dir/python" "${versions#* }" >&2 \
    || fail "installing ${versions#* } failed" "python3 -m pip install --target $dir/python ${versions#* }"
  echo "$versions" >"$dir/versions"
fi
echo "$dir"
