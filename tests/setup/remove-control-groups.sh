#!/bin/sh
# Removes the control groups below one name, which are in no namespace, once their processes have ended.
#
#   tests/setup/remove-control-groups.sh NAME
set -eu
control_groups() { find /sys/fs/cgroup -depth -type d -path "*/$name*" "$@"; }

name=${1:?which control groups?}
# The kernel keeps one busy for a moment after its last process, and tells nobody when it is not.
tries=100
control_groups -exec rmdir {} + 2>/dev/null || true
while [ "$tries" -gt 0 ] && [ -n "$(control_groups -print -quit)" ]; do
  tries=$((tries - 1))
  sleep 0.05
  control_groups -exec rmdir {} + 2>/dev/null || true
done
