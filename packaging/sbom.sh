#!/usr/bin/env bash
# Writes the bill of materials of a release, as CycloneDX 1.5: every crate of the program, its plug-ins and the programs that run beside
# an agent, by name, version, licence, checksum, and what depends on what.
#
# usage: packaging/sbom.sh FILE
# It is of the last commit, and names no path of the machine that it is made on. The same commit and the same cargo-cyclonedx give the same bytes.
set -euo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)
shipped="host plugins/docker plugins/bubblewrap plugins/podman plugins/kubernetes plugins/egress-guard plugins/guest"

fail() { printf 'sbom: %s\n' "$1" >&2; exit 1; }

[ $# -eq 1 ] || fail "name the file: packaging/sbom.sh FILE"
command -v jq >/dev/null || fail "cannot find jq; install it"
command -v cargo-cyclonedx >/dev/null || fail "cannot find cargo-cyclonedx: cargo +stable install --locked cargo-cyclonedx"
epoch=${SOURCE_DATE_EPOCH:-$(git -C "$repository" log -1 --format=%ct)}

# The tool writes next to each Cargo.toml, so it works on a copy.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git -C "$repository" archive HEAD | tar -x -C "$work"
(cd "$work" && cargo cyclonedx --quiet --format json --spec-version 1.5 --override-filename sbom)
files=()
for crate in $shipped; do files+=("$work/$crate/sbom.json"); done

mkdir -p "$(dirname "$1")"
jq --slurp --sort-keys --arg root "$work" --arg time "$(date --utc --date="@$epoch" +%Y-%m-%dT%H:%M:%SZ)" '
  # Where a crate of this repository lies says nothing to a reader.
  def plain: walk(if type == "string" then gsub("path\\+file://" + $root + "/"; "") | sub("\\?download_url=file://[^#]*"; "") else . end);
  def own: del(.components);
  {
    bomFormat: "CycloneDX", specVersion: "1.5", version: 1,
    metadata: (.[0].metadata | .timestamp = $time | .component |= own),
    components: ([.[].components[]] + [.[1:][].metadata.component | own] | unique_by(."bom-ref")),
    dependencies: ([.[].dependencies[]] | group_by(.ref) | map({ref: .[0].ref, dependsOn: ([.[].dependsOn // [] | .[]] | unique)})),
  } | plain
' "${files[@]}" >"$1"
