#!/usr/bin/env bash
# The steps of `make release` that are not a build. The version is that of Cargo.toml, the date is today's in UTC.
#
# usage: packaging/release.sh check          refuses a tree with changes, a version that was released, a changelog with nothing to release
#        packaging/release.sh date           gives the changelog's unreleased section its version and date, and commits that
#        packaging/release.sh notes FILE     writes that section, as it is or as it would be
#        packaging/release.sh tag            tags the commit
# Nothing is pushed: what to type for that is said at the end.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { printf 'release: %s\n' "$1" >&2; [ $# -lt 2 ] || printf '\nhint: %s\n' "$2" >&2; exit 1; }

version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)
[ -n "$version" ] || fail "Cargo.toml has no version in [workspace.package]"
today=$(date --utc +%Y-%m-%d)
unreleased='## Unreleased'

# Prints what stands under a heading that begins so, without the heading.
section() { awk -v head="$1" 'index($0, "## ") == 1 { on = index($0, head) == 1; next } on' CHANGELOG.md | sed -e '/./,$!d'; }

is_clean() { [ -z "$(git status --porcelain)" ]; }

check() {
  is_clean || fail "the tree has changes that are not committed" "git status"
  ! git rev-parse --quiet --verify "refs/tags/v$version" >/dev/null \
    || fail "version $version is released already: there is a tag v$version" "raise \`version\` in Cargo.toml"
  ! grep -q "^## $version " CHANGELOG.md || fail "CHANGELOG.md has a section for $version already"
  grep -qx "$unreleased" CHANGELOG.md || fail "CHANGELOG.md has no section \`$unreleased\`"
  # Not `grep -q`, which ends before it has read all, so that what writes a long section fails.
  section "$unreleased" | grep '^- ' >/dev/null || fail "CHANGELOG.md has nothing under \`$unreleased\`"
  printf 'release: %s, %s\n' "$version" "$today" >&2
}

date_changelog() {
  is_clean || fail "the tree has changes that are not committed" "git status"
  sed -i "s/^$unreleased\$/$unreleased\n\n## $version - $today/" CHANGELOG.md
  git commit --quiet --message "release: $version" CHANGELOG.md
}

notes() {
  local text
  text=$(section "## $version ")
  [ -n "$text" ] || text=$(section "$unreleased")
  mkdir -p "$(dirname "$1")"
  printf '# claude-bottle %s, %s\n\n%s\n' "$version" "$today" "$text" >"$1"
}

tag() {
  is_clean || fail "the tree has changes that are not committed" "git status"
  grep -q "^## $version - " CHANGELOG.md || fail "CHANGELOG.md has no dated section for $version" "packaging/release.sh date"
  git tag --annotate --message "claude-bottle $version" "v$version"
  printf 'release: v%s is tagged\n\nhint: git push origin HEAD v%s\n' "$version" "$version" >&2
}

case "${1-}:$#" in
  check:1) check ;;
  date:1) date_changelog ;;
  notes:2) notes "$2" ;;
  tag:1) tag ;;
  *) sed -n '4,7s/^# //p' "$0" >&2; exit 2 ;;
esac
