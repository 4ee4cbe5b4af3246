#!/bin/sh
# Installs claude-bottle from a release's tarball, and nothing that it cannot verify.
#
# usage: install.sh --sha256 HASH [--prefix DIR] TARBALL
#        install.sh --signers FILE [--prefix DIR] TARBALL
# HASH is the tarball's, from a place that you trust. FILE has the keys that may sign a release, as ssh-keygen(1) calls
# ALLOWED SIGNERS; SHA256SUMS and SHA256SUMS.sig lie beside the tarball then. DIR is ~/.local when not given.
set -eu

fail() { printf 'install: %s\n' "$1" >&2; exit 1; }
usage() { sed -n '4,5s/^# //p' "$0" >&2; exit 2; }

prefix=$HOME/.local hash='' signers='' tarball=''
while [ $# -gt 0 ]; do
  case $1 in
    --sha256) hash=${2-}; shift 2 || usage ;;
    --signers) signers=${2-}; shift 2 || usage ;;
    --prefix) prefix=${2-}; shift 2 || usage ;;
    -*) usage ;;
    *) [ -z "$tarball" ] || usage; tarball=$1; shift ;;
  esac
done
[ -n "$tarball" ] && [ -n "$prefix" ] || usage
[ -f "$tarball" ] || fail "cannot read $tarball"
directory=$(dirname "$tarball") file=$(basename "$tarball")

# Prints the hash that a signed list has for the tarball.
signed_hash() {
  sums=$directory/SHA256SUMS
  [ -f "$sums" ] && [ -f "$sums.sig" ] || fail "there is no SHA256SUMS with SHA256SUMS.sig beside $tarball"
  ssh-keygen -q -Y verify -f "$signers" -I claude-bottle -n claude-bottle -s "$sums.sig" <"$sums" >/dev/null 2>&1 \
    || fail "cannot verify $sums.sig: it is not the signature of a key in $signers"
  listed=$(awk -v file="$file" '$2 == file { print $1 }' "$sums")
  [ -n "$listed" ] || fail "$sums does not list $file"
  printf '%s' "$listed"
}

case "$hash:$signers" in
  :) fail "cannot verify $tarball: give --sha256 or --signers" ;;
  *:) ;;
  :*) hash=$(signed_hash) ;;
  *) usage ;;
esac

# What is unpacked is the copy that was verified, whatever happens to the file meanwhile.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$tarball" "$work/release.tar.gz"
got=$(sha256sum "$work/release.tar.gz" | cut -d' ' -f1)
[ "$got" = "$hash" ] || fail "cannot verify $tarball: its SHA-256 is $got, and $hash was expected"

tar -C "$work" --no-same-owner -xzf "$work/release.tar.gz"
tree=$(find "$work" -mindepth 1 -maxdepth 1 -type d)
[ -x "$tree/bin/claude-bottle" ] || fail "$tarball has no bin/claude-bottle"
for part in bin lib libexec share; do
  mkdir -p "$prefix/$part"
  cp -R "$tree/$part/." "$prefix/$part"
done
printf 'installed %s\n' "$("$prefix/bin/claude-bottle" --version)" >&2
case ":$PATH:" in *":$prefix/bin:"*) ;; *) printf 'hint: add it to your path: export PATH="%s/bin:$PATH"\n' "$prefix" >&2 ;; esac
