#!/usr/bin/env bash
# Makes the files of a release from an installed tree: a tarball, a Debian package, their checksums, and recipes for Homebrew and Arch Linux
# that have the tarball's.
#
# usage: packaging/package.sh TREE VERSION OUT
# TREE is what `make install DESTDIR=TREE PREFIX=/usr` wrote. With SIGNING_KEY, an ssh key, the checksums are signed by it.
# With SBOM, a file that packaging/sbom.sh wrote, that is one of the release. GZIP_LEVEL is 9 when not given.
# The same tree gives the same bytes: names are sorted, and times are SOURCE_DATE_EPOCH (the last commit's, when not given).
set -euo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)
tree=$(cd "$1" && pwd) version=$2 out=$3

fail() { printf 'package: %s\n' "$1" >&2; exit 1; }

for tool in dpkg-deb dpkg objdump gzip tar sha256sum; do
  command -v "$tool" >/dev/null || fail "cannot find $tool; install dpkg, binutils, gzip and tar"
done
[ -x "$tree/usr/bin/claude-bottle" ] || fail "$tree has no usr/bin/claude-bottle: make install DESTDIR=$tree PREFIX=/usr"
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then SOURCE_DATE_EPOCH=$(git -C "$repository" log -1 --format=%ct); fi
export SOURCE_DATE_EPOCH

architecture=$(dpkg --print-architecture)
name="claude-bottle-$version-$(uname -m)-linux-gnu"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
level=${GZIP_LEVEL:-9}
umask 022

archive() { tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -C "$1" -cf - "$2"; }

# The newest C library symbol that a file of the tree asks for.
newest_glibc() {
  find "$tree/usr/bin" "$tree/usr/lib" -type f -exec objdump -T {} + 2>/dev/null \
    | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -1 | cut -d_ -f2
}

make_tarball() {
  mkdir "$work/$name"
  cp -a "$tree/usr/." "$work/$name"
  cp "$repository"/{README.md,CHANGELOG.md,LICENSE,LICENSE-MIT,LICENSE-APACHE} "$work/$name"
  archive "$work" "$name" | gzip -n "-$level" >"$out/$name.tar.gz"
}

make_deb() {
  local root=$work/deb documents=$work/deb/usr/share/doc/claude-bottle
  mkdir -p "$root/DEBIAN" "$documents"
  cp -a "$tree/usr/." "$root/usr"
  mv "$root/usr/share/zsh/site-functions" "$root/usr/share/zsh/vendor-completions"
  find "$root/usr/share/man" -type f -exec gzip -9n {} +
  gzip -9nc "$repository/CHANGELOG.md" >"$documents/changelog.gz"
  cat "$repository"/LICENSE{,-MIT,-APACHE} >"$documents/copyright"
  cat >"$root/DEBIAN/control" <<CONTROL
Package: claude-bottle
Version: $version
Architecture: $architecture
Maintainer: The claude-bottle authors <claude-bottle@localhost>
Section: utils
Priority: optional
Installed-Size: $(du -sk "$root/usr" | cut -f1)
Depends: libc6 (>= $(newest_glibc)), libgcc-s1
Recommends: bubblewrap
Suggests: docker.io, podman, git, openssh-client
Description: Run a coding agent in a disposable, isolated bottle
 A bottle holds exactly what its manifest grants: skills, a prompt, variables, SSH
 keys, an egress allowlist. What the agent changed is saved, looked at and taken.
CONTROL
  find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
  dpkg-deb --root-owner-group -Zgzip "-z$level" --build "$root" "$out/claude-bottle_${version}_$architecture.deb" >/dev/null
}

# Writes a recipe of another packager's, which takes the tarball.
make_recipe() {
  local sum
  sum=$(sha256sum "$out/$name.tar.gz" | cut -d' ' -f1)
  sed -e "s|@VERSION@|$version|g; s|@REPOSITORY@|$origin|g; s|@TARBALL@|$name.tar.gz|g; s|@TREE@|$name|g; s|@SHA256@|$sum|g" \
    -e "s|@ARCH@|$(uname -m)|g; s|@BREW_ARCH@|$(uname -m | sed s/aarch64/arm64/)|g; s|@GLIBC@|$(newest_glibc)|g" "$repository/packaging/$1.in" >"$out/$1"
}

mkdir -p "$out"
out=$(cd "$out" && pwd)
origin=$(sed -n '/^\[workspace.package\]/,/^$/s/^repository = "\(.*\)"/\1/p' "$repository/Cargo.toml")
files=("$name.tar.gz" "claude-bottle_${version}_$architecture.deb")
make_tarball
make_deb
make_recipe claude-bottle.rb
make_recipe PKGBUILD
if [ -n "${SBOM:-}" ]; then
  cp "$SBOM" "$out/$name.cdx.json"
  files+=("$name.cdx.json")
fi
(cd "$out" && sha256sum "${files[@]}" >SHA256SUMS)
if [ -n "${SIGNING_KEY:-}" ]; then
  rm -f "$out/SHA256SUMS.sig"
  ssh-keygen -q -Y sign -f "$SIGNING_KEY" -n claude-bottle "$out/SHA256SUMS"
fi
printf '%s\n' "${files[@]/#/$out/}" "$out"/{claude-bottle.rb,PKGBUILD,SHA256SUMS}
