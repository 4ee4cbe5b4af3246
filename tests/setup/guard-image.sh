#!/usr/bin/env bash
# Makes the image of the guard for Pods in this machine's engine: the two static programs that run beside an agent, the agent's
# command as a link to one of them, and nothing else. Prints its name. `make companions` builds the programs.
set -euo pipefail
# shellcheck source=tests/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

image=claude-bottle-pod-guard:latest
programs="$root_dir/target/libexec/claude-bottle"

main() {
  local key links
  [ -x "$programs/egress-guard" ] && [ -x "$programs/bottle-guest" ] || fail "the programs of a bottle are not built" "make companions"
  lock_setup guard-image
  # What is made of the same programs has a number.
  key=$(cat "$programs/egress-guard" "$programs/bottle-guest" <(echo 2) | sha256sum | cut -d' ' -f1)
  if [ "$(docker image inspect --format '{{index .Config.Labels "io.claude-bottle.image.key"}}' "$image" 2>/dev/null)" != "$key" ]; then
    links=$(mktemp -d)
    # shellcheck disable=SC2064
    trap "rm -rf '$links'" EXIT
    mkdir "$links/bin"
    ln -s ../bottle-guest "$links/bin/bottle"
    # Nobody inside has an account: what runs it says a number.
    tar --create --owner 0 --group 0 --mode 0555 --mtime '2026-01-01 UTC' --directory "$programs" egress-guard bottle-guest --directory "$links" bin |
      docker import --change "LABEL io.claude-bottle.image.key=$key" --change 'ENV PATH=/' - "$image" >/dev/null
  fi
  echo "$image"
}

main "$@"
