#!/usr/bin/env bash
# Makes programs that publish exist and prints their directory below .cache: gh of Debian, and twine and pip of PyPI. The others (git, npm, uv, cargo)
# come with this machine, `installers.sh` and `workspaces-image.sh`.
set -euo pipefail
# shellcheck source=tests/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

dir="$cache_dir/publishers"
python_packages="twine==6.2.0 pip==26.3"
key=$(sha256sum "${BASH_SOURCE[0]}")

lock_setup publishers
need gh gh
/usr/bin/python3 -m pip --version >/dev/null 2>&1 || packages+=(python3-pip)
[ ${#packages[@]} -eq 0 ] || install_packages "programs that publish" "${packages[@]}"
if [ "$(cat "$dir/key" 2>/dev/null)" != "$key" ]; then
  say "installing $python_packages below $dir"
  rm -rf "$dir"
  mkdir -p "$dir"
  # shellcheck disable=SC2086
  PIP_ROOT_USER_ACTION=ignore /usr/bin/python3 -m pip install --quiet --only-binary :all: --target "$dir/python" $python_packages >&2 \
    || fail "installing $python_packages failed"
  # A bottle of docker has the base image's programs, and this one.
  cp "$(command -v gh)" "$dir/gh"
  echo "$key" >"$dir/key"
fi
echo "$dir"
