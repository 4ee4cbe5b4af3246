#!/usr/bin/env bash
# Makes a small image a bottle can run from, for tests with an engine of their own, into which an image has to be carried first.
# Prints the image's name on stdout, and nothing else there.
#
# It is the base image without node, npm, git's own programs, and documentation: a third of its size. A shell, perl, curl and socat
# are there, and the user node. Nothing is done when it was made from this base image already.
set -euo pipefail
# shellcheck source=tests/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

key_label="io.claude-bottle.small-image.key"

main() {
  local base=${CLAUDE_BOTTLE_BASE_IMAGE:-} image="claude-bottle-small:latest" key
  [ -n "$base" ] || fail "CLAUDE_BOTTLE_BASE_IMAGE names no image" "export CLAUDE_BOTTLE_BASE_IMAGE=\$(tests/setup/base-image.sh)"
  lock_setup small-image
  key=$(docker image inspect --format '{{.Id}}' "$base" 2>/dev/null) \
    || fail "the engine has no image $base" "export CLAUDE_BOTTLE_BASE_IMAGE=\$(tests/setup/base-image.sh)"
  key="$key-$(sha256sum "${BASH_SOURCE[0]}" | cut -c1-16)"
  if [ "$(docker image inspect --format "{{index .Config.Labels \"$key_label\"}}" "$image" 2>/dev/null)" != "$key" ]; then
    say "making $image from $base"
    docker run --rm --network none --user 0 --entrypoint tar "$base" -C / -c --one-file-system \
      --exclude=./usr/local --exclude=./usr/share --exclude=./usr/lib/git-core --exclude=./var/lib/apt --exclude=./var/cache . \
      | docker import --change "LABEL $key_label=$key" \
        --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' - "$image" >/dev/null
  fi
  echo "$image"
}

main "$@"
