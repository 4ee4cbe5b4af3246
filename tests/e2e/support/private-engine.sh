# shellcheck shell=sh
# Keeps the namespaces of an engine of a test's own until standard input ends, and then removes all that was in them.
#
#   private-engine.sh DIRECTORY SIZE-OF-THE-DATA CGROUP
#
# The first line on standard output is the number of the process that holds the namespaces. It is the first of its process
# namespace, so that the kernel ends every process there when it ends: the engine, its containers, and their shims. Mounts go with
# the mount namespace, interfaces and packet filters with the network namespace.
set -eu
directory=$1 size=$2 cgroup=$3

control_groups() { find /sys/fs/cgroup -depth -type d -path "*/$cgroup*" "$@"; }

clear_up() {
  # Control groups are in no namespace. The kernel keeps one busy for a moment after its last process, and tells nobody when it is not.
  tries=100
  control_groups -exec rmdir {} + 2>/dev/null || true
  while [ "$tries" -gt 0 ] && [ -n "$(control_groups -print -quit)" ]; do
    tries=$((tries - 1))
    sleep 0.05
    control_groups -exec rmdir {} + 2>/dev/null || true
  done
  rm -rf "$directory"
}
trap clear_up EXIT

# A shell's background process has no standard input but by another number.
exec 3<&0
# shellcheck disable=SC2016
unshare --net --mount --pid --fork -- sh -eu -c '
  # /proc is still that of the outer namespace here.
  read -r pid _ </proc/self/stat
  mount -t proc proc /proc
  mount -t tmpfs -o mode=755 run /run
  mount -t tmpfs -o "mode=711,size=$2" data "$1/data"
  ip link set lo up
  # The rest of the world: a network with nobody in it but this very namespace, at addresses for documentation.
  ip link add world type bridge
  ip link set world up
  ip address add 198.51.100.7/24 dev world
  ip address add 2001:db8::7/64 dev world nodad
  ip route add default via 198.51.100.1
  cat <&3 >/dev/null &
  echo "$pid"
  exec >/dev/null
  # It waits for whoever loses its parent, too.
  wait $!
' sh "$directory" "$size"
