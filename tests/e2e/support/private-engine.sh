# shellcheck shell=sh
# Keeps the namespaces of an engine of a test's own until standard input ends, and then removes all that was in them.
#
#   private-engine.sh DIRECTORY SIZE-OF-THE-DATA CGROUP SETUP-SCRIPTS
#
# The first line on standard output is the number of the process that holds the namespaces. It is the first of its process
# namespace, so that the kernel ends every process there when it ends: the engine, its containers, and their shims. Mounts go with
# the mount namespace, interfaces and packet filters with the network namespace.
set -eu
directory=$1 size=$2 cgroup=$3 setup=$4

clear_up() {
  "$setup/remove-control-groups.sh" "$cgroup"
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
  "$3/world.sh"
  cat <&3 >/dev/null &
  echo "$pid"
  exec >/dev/null
  # It waits for whoever loses its parent, too.
  wait $!
' sh "$directory" "$size" "$setup"
