#!/usr/bin/env bash
# Builds the programs of a Kubernetes cluster of one node, below .cache, and prints that directory. Nothing is started: tests/on-cluster.sh does.
#
#   tests/setup/cluster.sh
#
# Kubernetes, containerd and runc come as Go modules and are compiled, 12 processor minutes the first time; etcd, the network plug-ins and
# busybox are files of Debian's packages, which are unpacked and not installed. One that is whole is known by the versions in its name.
set -euo pipefail
# shellcheck source=tests/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# The published twins of Kubernetes' staging modules have its version with a 0 in front.
kubernetes=${KUBERNETES:-1.36.3}
containerd=2.2.9
runc=1.3.3
# Changes when what is made of the same versions does.
recipe=1

place="$cache_dir/cluster/kubernetes-$kubernetes-containerd-$containerd-runc-$runc-$recipe"
part="$place.part"
export GOTOOLCHAIN=local GOFLAGS=-buildvcs=false

# module NAME MODULE VERSION PROGRAM…: a module of our own whose tools are the programs, and changes into it.
module() {
  local name=$1 module=$2 version=$3 source program
  shift 3
  mkdir -p "$part/modules/$name"
  cd "$part/modules/$name"
  source=$(go mod download -json "$module@$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  [ -n "$source" ] || fail "the module $module $version cannot be had" "go mod download $module@$version"
  {
    printf 'module %s\n\ngo 1.26.0\n\nrequire %s %s\n\n' "$name" "$module" "$version"
    # What it replaces by a directory of its own tree has a published twin.
    sed -n 's|^\t\(k8s.io/[^ ]*\) => \./staging/.*|replace \1 => \1 v0.'"${kubernetes#*.}"'|p' "$source/go.mod"
    for program; do printf 'tool %s\n' "$module$program"; done
  } >go.mod
  go mod tidy >"$part/tidy.log" 2>&1 || { tail -n 20 "$part/tidy.log" >&2; fail "the modules of $module $version cannot be had"; }
}

build_kubernetes() {
  local programs=(kube-apiserver kube-controller-manager kube-scheduler kubelet kubectl) program version
  module kubernetes k8s.io/kubernetes "v$kubernetes" "${programs[@]/#//cmd/}"
  version="-X k8s.io/component-base/version.gitVersion=v$kubernetes -X k8s.io/component-base/version.gitMajor=1"
  version="$version -X k8s.io/component-base/version.gitMinor=$(cut -d. -f2 <<<"$kubernetes")"
  for program in "${programs[@]}"; do
    CGO_ENABLED=0 go build -ldflags "-s -w $version" -o "$part/bin/$program" "k8s.io/kubernetes/cmd/$program"
  done
}

build_containerd() {
  local programs=(containerd containerd-shim-runc-v2 ctr) program
  module containerd github.com/containerd/containerd/v2 "v$containerd" "${programs[@]/#//cmd/}"
  for program in "${programs[@]}"; do
    CGO_ENABLED=0 go build -tags no_btrfs,no_devmapper,no_zfs -ldflags "-s -w" -o "$part/bin/$program" \
      "github.com/containerd/containerd/v2/cmd/$program"
  done
}

build_runc() {
  module runc github.com/opencontainers/runc "v$runc" ""
  CGO_ENABLED=1 go build -tags seccomp -ldflags "-s -w -X main.version=$runc" -o "$part/bin/runc" github.com/opencontainers/runc
}

# What is downloaded is not installed: etcd would be started, and nothing else on the machine needs them.
unpack_packages() {
  mkdir -p "$part/debian" "$part/downloads"
  (cd "$part/downloads" && apt-get -qq download etcd-server containernetworking-plugins busybox-static >"$cache_dir/apt.log" 2>&1) || {
    tail -n 20 "$cache_dir/apt.log" >&2
    fail "the packages of etcd, the network plug-ins and busybox cannot be had" "sudo apt-get update"
  }
  for file in "$part"/downloads/*.deb; do dpkg-deb --extract "$file" "$part/debian"; done
  ln "$part/debian/usr/bin/etcd" "$part/bin/etcd"
}

# image REFERENCE ROOT ENTRYPOINT FILE: packs a directory as an image, in the archive format of `docker save`.
image() {
  python3 - "$@" <<'PYTHON'
import hashlib, io, json, os, sys, tarfile
reference, root, entrypoint, target = sys.argv[1:]
packed = io.BytesIO()
with tarfile.open(fileobj=packed, mode="w") as layer:
    for name in sorted(os.listdir(root)):
        layer.add(os.path.join(root, name), arcname=name)
layer = packed.getvalue()
config = json.dumps({
    "architecture": "amd64", "os": "linux",
    "config": {"Entrypoint": json.loads(entrypoint), "Env": ["PATH=/bin:/usr/bin:/sbin"]},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
    "history": [{"created": "2026-01-01T00:00:00Z"}],
}).encode()
name = hashlib.sha256(config).hexdigest() + ".json"
manifest = json.dumps([{"Config": name, "RepoTags": [reference], "Layers": ["layer.tar"]}]).encode()
with tarfile.open(target, "w") as archive:
    for member, content in ((name, config), ("layer.tar", layer), ("manifest.json", manifest)):
        info = tarfile.TarInfo(member)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
PYTHON
}

# A Pod's first process, and a shell for the tests of the cluster itself: no registry is asked for anything.
make_images() {
  local pause="$part/roots/pause" busybox="$part/roots/busybox" name
  mkdir -p "$part/images" "$pause" "$busybox"/{bin,etc,tmp}
  gcc -static -Os -x c -o "$pause/pause" - <<'C'
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void end(int signal) { _exit(0); }
static void reap(int signal) { while (waitpid(-1, 0, WNOHANG) > 0); }
int main(void) { signal(SIGINT, end); signal(SIGTERM, end); signal(SIGCHLD, reap); for (;;) pause(); }
C
  image registry.k8s.io/pause:3.10.1 "$pause" '["/pause"]' "$part/images/pause.tar"
  chmod 1777 "$busybox/tmp"
  cp "$part/debian/bin/busybox" "$busybox/bin/busybox"
  for name in $("$busybox/bin/busybox" --list); do [ -e "$busybox/bin/$name" ] || ln -s busybox "$busybox/bin/$name"; done
  image docker.io/library/busybox:1 "$busybox" null "$part/images/busybox.tar"
}

main() {
  lock_setup cluster
  if [ ! -d "$place" ]; then
    command -v go >/dev/null || fail "a cluster is compiled, and Go is missing" "https://go.dev/dl/"
    need gcc gcc
    need pkg-config pkg-config
    [ -e /usr/include/seccomp.h ] || packages+=(libseccomp-dev)
    need openssl openssl
    need python3 python3
    need ip iproute2
    [ ${#packages[@]} -eq 0 ] || install_packages "a cluster" "${packages[@]}"
    say "compiling Kubernetes $kubernetes, containerd $containerd and runc $runc (12 processor minutes, once)"
    rm -rf "$part"
    mkdir -p "$part/bin"
    unpack_packages
    build_runc
    build_containerd
    build_kubernetes
    make_images
    rm -rf "$part/modules" "$part/downloads" "$part/roots" "$part/tidy.log"
    mv "$part" "$place"
  fi
  echo "$place"
}

main "$@"
