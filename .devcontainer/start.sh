#!/usr/bin/env bash
# Run each time the container has started: an engine of its own answers after it, in which bottles and tests run. The engine outside is not touched.
set -euo pipefail
cd "$(dirname "$0")/.."

# With control groups v2, a group with processes of its own gives its children no controllers (cgroups(7), "no internal processes"). All that runs
# here moves one down therefore, so that the engine and bubblewrap can limit what they start. With v1 there is nothing to do.
groups=/sys/fs/cgroup
hand_down() { sed 's/[^ ]*/+&/g' "$groups/cgroup.controllers" >"$groups/cgroup.subtree_control"; }

if [ -f "$groups/cgroup.controllers" ] && [ "$(cat /proc/self/cgroup)" = 0::/ ]; then
  mkdir -p "$groups/init"
  tries=5
  until hand_down 2>/dev/null || [ "$tries" = 0 ]; do
    # One that ends meanwhile cannot be moved, and one that begins is moved the next time.
    mapfile -t processes <"$groups/cgroup.procs"
    for process in "${processes[@]}"; do echo "$process" >"$groups/init/cgroup.procs" || true; done 2>/dev/null
    tries=$((tries - 1))
  done
  hand_down || echo "start: the container's control groups cannot be handed down: nothing in it can be limited" >&2
fi

tests/setup/engine.sh
