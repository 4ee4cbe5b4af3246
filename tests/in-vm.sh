#!/usr/bin/env bash
# Runs the docker plug-in's engine tests in a virtual machine: another kernel, control groups v2, AppArmor, swap.
#
#   tests/in-vm.sh SUITE [TEST-ARGUMENT…]
#   tests/in-vm.sh sid isolation::
#
# The machine is made of a Debian suite's packages, kernel and engine among them, has no network but its own, and keeps its disk in
# .cache/vm. Its processor is emulated, so that it takes no permission to run: ten times slower, and about a quarter of an hour
# for all tests. The last line tells the tests' exit code, which is this program's as well.
set -euo pipefail
# shellcheck source=tests/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/setup/common.sh"

include=linux-image-cloud-amd64,initramfs-tools,apparmor,docker.io,docker-cli,iptables,ca-certificates,git,iproute2,kmod,mount
include=$include,openssh-client,openssh-server,passwd,perl,procps,curl

# What the machine starts: the first process, and the last.
init() {
  cat <<'EOF'
#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb RUST_BACKTRACE=0
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t securityfs securityfs /sys/kernel/security
for directory in /run /tmp /dev/shm; do mkdir -p $directory && mount -t tmpfs tmpfs $directory; done
mkdir -p /dev/pts && mount -t devpts devpts /dev/pts
mount --make-rshared /
mkswap -q /dev/vdd && swapon /dev/vdd
ip link set lo up
tar -x -C / </dev/vdc
. /start
dockerd >/var/log/dockerd.log 2>&1 &
# Nothing tells when it listens, but for a log.
until docker version >/dev/null 2>&1; do sleep 0.5; done
[ -e /loaded ] || docker load --quiet </dev/vdb && touch /loaded && sync
docker info --format 'engine {{.ServerVersion}}, control groups v{{.CgroupVersion}}, {{.SecurityOptions}}'
uname -r
test_all
echo "exit code $?"
sync
echo o >/proc/sysrq-trigger
sleep 60
EOF
}

# Makes the machine's disk once: $1.
make_disk() {
  local disk=$1 suite=$2 root=$1.root
  say "making a machine of Debian $suite (a minute)"
  rm -rf "$root"
  unpack_suite "$suite" "$root" --variant=apt --include="$include"
  cp "$root"/boot/vmlinuz-* "$disk.kernel"
  cp "$root"/boot/initrd.img-* "$disk.initrd"
  init >"$root/first"
  chmod 755 "$root/first"
  truncate --size 8G "$disk.part"
  mke2fs -q -t ext4 -d "$root" "$disk.part"
  rm -rf "$root"
  mv "$disk.part" "$disk"
}

# Writes what the tests need of this checkout, at its own path: $1. The tests are a program that was built outside.
pack() {
  local tarball=$1 base=$2 tests start
  shift 2
  tests=$(cargo test --locked --workspace --test engine --no-run 2>&1 | sed -n 's/.*(\(.*\/engine-.*\)).*/\1/p')
  start=$(mktemp -d)
  cat >"$start/start" <<EOF
export CLAUDE_BOTTLE_BASE_IMAGE=$base EGRESS_GUARD=$root_dir/target/libexec/claude-bottle/egress-guard
test_all() { cd $root_dir/plugins/docker && $root_dir/$tests ${*@Q}; }
EOF
  tar -cf "$tarball" -C "$start" start
  (cd "$root_dir" && git ls-files && echo target/libexec && echo "$tests") \
    | tar -rf "$tarball" -C "$root_dir" --transform "s,^,${root_dir#/}/," --files-from=-
  rm -rf "$start"
}

main() {
  local suite=${1:?which suite, such as sid?} disk work base
  shift
  lock_setup vm
  need qemu-system-x86_64 qemu-system-x86
  [ ${#packages[@]} -eq 0 ] || install_packages "a virtual machine" "${packages[@]}"
  mkdir -p "$cache_dir/vm"
  disk="$cache_dir/vm/$suite"
  [ -e "$disk" ] || make_disk "$disk" "$suite"
  work=$(mktemp -d)
  # shellcheck disable=SC2064
  trap "rm -rf '$work'" EXIT
  base=$("$root_dir/tests/setup/base-image.sh")
  docker save --output "$work/images" "$base" claude-bottle:latest
  pack "$work/checkout" "$base" "$@"
  truncate --size 512M "$work/swap"
  local drives=() file
  for file in "$disk" "$work/images" "$work/checkout" "$work/swap"; do
    # A disk is whole sectors.
    truncate --size %512 "$file"
    drives+=(-drive "file=$file,format=raw,if=virtio,cache=unsafe")
  done
  qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 6G -nodefaults -nographic -serial stdio -no-reboot \
    -kernel "$disk.kernel" -initrd "$disk.initrd" -append "root=/dev/vda rw console=ttyS0 quiet init=/first panic=-1" \
    "${drives[@]}" </dev/null | tee "$work/said"
  return "$(sed -n 's/^exit code \([0-9]*\).*/\1/p' "$work/said")"
}

main "$@"
