#!/usr/bin/env bash
# Makes published source trees exist below .cache, and prints their directory: crates, npm packages with a built app's links, a Python
# package, and Debian's kernel source. They are what copying in, saving and taking home are tried with; nothing of them is built.
set -euo pipefail
# shellcheck source=tests/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

dir="$cache_dir/trees"
key=$(sha256sum "${BASH_SOURCE[0]}")

# The client has no command that only downloads: it keeps the sources of what a project depends on.
crates() {
  mkdir -p fetch/src
  touch fetch/src/lib.rs
  printf '[package]\nname = "fetch"\nversion = "0.0.0"\n[dependencies]\nwindows-sys = "0.61"\nlibgit2-sys = "0.18"\nring = "0.17"\n[workspace]\n' >fetch/Cargo.toml
  (cd fetch && cargo vendor --quiet >/dev/null)
  mv fetch/vendor/windows-sys fetch/vendor/libgit2-sys fetch/vendor/ring .
  rm -r fetch
}

npm_packages() {
  tar -xzf "$(npm pack --silent typescript@5.9.3)" && mv package typescript && rm ./*.tgz
  mkdir next-app && echo '{ "name": "app", "private": true }' >next-app/package.json
  (cd next-app && npm install --silent --ignore-scripts --no-audit --no-fund next@16 react@19 react-dom@19 >&2)
}

python_package() {
  /usr/bin/python3 -m pip download --quiet --no-deps --only-binary :all: --dest . sphinx==8.2.3 >&2
  mkdir sphinx && (cd sphinx && /usr/bin/python3 -m zipfile -e ../*.whl .) && rm ./*.whl
}

# It has real twins that differ in case alone, such as xt_CONNMARK.h and xt_connmark.h.
kernel() {
  apt-get download -qq "$(apt-cache depends linux-source | sed -n 's/.*Depends: \(linux-source-[0-9.]*\)$/\1/p' | head -n 1)" >&2
  dpkg-deb --extract ./*.deb unpacked && rm ./*.deb
  mkdir linux-source && tar -xf unpacked/usr/src/linux-source-*.tar.xz -C linux-source --strip-components=1
  rm -r unpacked
}

lock_setup trees
if [ "$(cat "$dir/key" 2>/dev/null)" != "$key" ]; then
  for program in npm cargo; do
    command -v $program >/dev/null || fail "$program is missing, whose packages are taken through bottles" "install $program as its makers say"
  done
  /usr/bin/python3 -m pip --version >/dev/null 2>&1 || install_packages "a package of Python" python3-pip
  say "getting published trees"
  rm -rf "$dir"
  mkdir -p "$dir"
  cd "$dir"
  crates && npm_packages && python_package && kernel || fail "the trees cannot be had" "rm -rf $dir, and try again"
  echo "$key" >key
fi
echo "$dir"
