#!/usr/bin/env bash
# Makes an image that has the programs of tests/programs.tsv, from the base image and its distribution's packages, and prints its name on
# stdout. Nothing is done when it was made from this base image and this list already.
set -euo pipefail
# shellcheck source=tests/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

key_label="io.claude-bottle.programs-image.key"
image=claude-bottle-programs:latest

lock_setup programs-image
base=$("$root_dir/tests/setup/base-image.sh")
# The base image has node of its own, with npm.
packages=$(grep -v '^#' "$root_dir/tests/programs.tsv" | cut -f 2 | tr ' ' '\n' | grep -vxE 'nodejs|npm' | sort -u | tr '\n' ' ')
key=$({ docker image inspect --format '{{.Id}}' "$base"; cat "${BASH_SOURCE[0]}"; echo "$packages"; } | sha256sum | cut -c1-32)
if [ "$(docker image inspect --format "{{index .Config.Labels \"$key_label\"}}" "$image" 2>/dev/null)" != "$key" ]; then
  say "making $image from $base: $packages"
  docker build --quiet --label "$key_label=$key" --tag "$image" - >&2 <<END || fail "the image $image cannot be built" "docker build it by hand"
FROM $base
RUN apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install $packages >/dev/null
END
fi
echo "$image"
