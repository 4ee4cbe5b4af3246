#!/usr/bin/env bash
# Runs a command beside a Kubernetes cluster of one node, which ends with the command.
#
#   tests/on-cluster.sh -- COMMAND…
#   tests/on-cluster.sh -- kubectl get nodes
#   IMAGES="claude-bottle:latest" tests/on-cluster.sh -- cargo test …
#
# Cluster and command share network, mount and process namespaces that are made for them, so that both end together, and nothing of the
# machine's engine or network is touched. Images come from the machine's engine, named in IMAGES; no registry is reached. The command finds
# KUBECONFIG, and in CLAUDE_BOTTLE_TEST_CLUSTER a directory with the logs (`logs`, the API's audit log among them), the numbers of the programs
# (`pids`) and etcd's files (`etcd`).
# Needs root.
set -euo pipefail
# shellcheck source=tests/setup/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/setup/common.sh"
setup="$root_dir/tests/setup"

# The node's address, one for documentation: there is nothing else in this network.
address=198.51.100.1

# certificate NAME SUBJECT NAMES: makes NAME.key and NAME.crt, signed by the cluster's authority.
certificate() {
  openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"
  openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
  printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$3" >"$1.ext"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile "$1.ext" -out "$1.crt" 2>/dev/null
}

# kubeconfig NAME: writes NAME.conf, for the user whose certificate that is.
kubeconfig() {
  cat >"$1.conf" <<CONF
apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "https://$address:6443", certificate-authority: "$PWD/ca.crt"}}]
users: [{name: $1, user: {client-certificate: "$PWD/$1.crt", client-key: "$PWD/$1.key"}}]
contexts: [{name: test, context: {cluster: test, user: $1}}]
current-context: test
CONF
}

make_certificates() {
  local name
  mkdir "$work/pki"
  cd "$work/pki"
  openssl ecparam -name prime256v1 -genkey -noout -out ca.key
  openssl req -x509 -new -key ca.key -days 2 -subj /CN=test-cluster -out ca.crt
  openssl ecparam -name prime256v1 -genkey -noout -out accounts.key
  openssl ec -in accounts.key -pubout -out accounts.pub 2>/dev/null
  certificate apiserver /CN=kube-apiserver "IP:$address,IP:10.96.0.1,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
  certificate kubelet-client /O=system:masters/CN=apiserver-kubelet-client DNS:apiserver
  certificate admin /O=system:masters/CN=admin DNS:admin
  certificate controllers /CN=system:kube-controller-manager DNS:controllers
  certificate scheduler /CN=system:kube-scheduler DNS:scheduler
  certificate node /O=system:nodes/CN=system:node:node1 "DNS:node1,IP:$address"
  for name in admin controllers scheduler node; do kubeconfig "$name"; done
  cd "$root_dir"
}

# This kernel has no `dummy` link: the node's own is one end of a pair.
make_network() {
  ip link set lo up
  ip link add eth0 type veth peer name world
  ip address add "$address/24" dev eth0
  ip link set eth0 up
  ip link set world up
  ip route add default via 198.51.100.254
  echo 1 >/proc/sys/net/ipv4/ip_forward
}

# What programs of the cluster write to places of the machine's that no option names.
hide_places() {
  local place
  mount --make-rprivate /
  mkdir "$work/run"
  mount -t tmpfs -o mode=755 tmpfs "$work/run"
  mkdir -p "$work/run"/{lock,netns,containerd}
  # Tests may ask the machine's engine too.
  [ ! -S /run/docker.sock ] || { touch "$work/run/docker.sock"; mount --bind /run/docker.sock "$work/run/docker.sock"; }
  # Without a note in its table, which is below /run itself.
  mount --no-mtab --move "$work/run" /run
  for place in /var/lib/cni /var/log/pods /var/log/containers /opt; do
    mkdir -p "$place" "$work/places$place"
    mount --bind "$work/places$place" "$place"
  done
}

# The kubelet stays in its corner of each controller.
make_control_groups() {
  local controller
  for controller in /sys/fs/cgroup/*/; do
    case "$controller" in */unified/) continue ;; esac
    mkdir -p "$controller$group"
    [ ! -e "$controller/cpuset.cpus" ] || {
      cat "$controller/cpuset.cpus" >"$controller$group/cpuset.cpus"
      cat "$controller/cpuset.mems" >"$controller$group/cpuset.mems"
    }
  done
}

# We may lack CAP_SYS_RESOURCE, with which a sandbox's first process would be shielded.
write_containerd() {
  mkdir -p "$work/cni"
  cat >"$work/cni/10-bridge.conflist" <<'CONF'
{"cniVersion": "1.0.0", "name": "bridge", "plugins": [{"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false,
  "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
CONF
  cat >"$work/containerd.toml" <<CONF
version = 3
root = "$work/containerd"
state = "/run/containerd-test"
[grpc]
  address = "/run/containerd-test.sock"
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = "registry.k8s.io/pause:3.10.1"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  enable_selinux = false
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["$built/debian/usr/lib/cni"]
    conf_dir = "$work/cni"
  [plugins.'io.containerd.cri.v1.runtime'.containerd]
    default_runtime_name = "runc"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
        BinaryName = "$built/bin/runc"
        SystemdCgroup = false
CONF
}

write_kubelet() {
  cat >"$work/kubelet.yaml" <<CONF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {x509: {clientCAFile: "$work/pki/ca.crt"}, webhook: {enabled: true}, anonymous: {enabled: false}}
authorization: {mode: Webhook}
tlsCertFile: "$work/pki/node.crt"
tlsPrivateKeyFile: "$work/pki/node.key"
containerRuntimeEndpoint: unix:///run/containerd-test.sock
volumePluginDir: "$work/volume-plugins"
cgroupDriver: cgroupfs
cgroupRoot: /$group
failCgroupV1: false
failSwapOn: false
clusterDNS: [10.96.0.10]
clusterDomain: cluster.local
resolvConf: ""
enforceNodeAllocatable: []
evictionHard: {memory.available: 100Mi, nodefs.available: "1%", imagefs.available: "1%"}
# The images are in no registry: none goes because the machine's disk is full.
imageGCHighThresholdPercent: 100
makeIPTablesUtilChains: false
CONF
}

# What is asked of the API is kept whole, for a test that looks for a secret in it.
write_audit_policy() {
  cat >"$work/audit.yaml" <<'CONF'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: RequestResponse
    resources: [{group: "", resources: [pods, pods/exec, pods/log, secrets, configmaps]}]
  - level: None
CONF
}

# begin NAME COMMAND…: starts a program of the cluster, with a log of its own and its number in a file.
begin() {
  local name=$1
  shift
  "$@" >"$work/logs/$name.log" 2>&1 &
  echo $! >"$work/pids/$name"
}

start_api() {
  begin etcd etcd --data-dir "$work/etcd" --unsafe-no-fsync --listen-client-urls http://127.0.0.1:2379 \
    --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380
  # A node's name is in no DNS, and without the last option exec would look it up.
  begin apiserver kube-apiserver --etcd-servers=http://127.0.0.1:2379 --advertise-address="$address" --secure-port=6443 \
    --authorization-mode=Node,RBAC --client-ca-file="$work/pki/ca.crt" \
    --tls-cert-file="$work/pki/apiserver.crt" --tls-private-key-file="$work/pki/apiserver.key" \
    --kubelet-client-certificate="$work/pki/kubelet-client.crt" --kubelet-client-key="$work/pki/kubelet-client.key" \
    --service-account-key-file="$work/pki/accounts.pub" --service-account-signing-key-file="$work/pki/accounts.key" \
    --service-account-issuer=https://kubernetes.default.svc --service-cluster-ip-range=10.96.0.0/16 \
    --enable-admission-plugins=NodeRestriction --audit-policy-file="$work/audit.yaml" --audit-log-path="$work/logs/audit.json" \
    --kubelet-preferred-address-types=InternalIP
}

start_node() {
  begin controllers kube-controller-manager --kubeconfig="$work/pki/controllers.conf" --root-ca-file="$work/pki/ca.crt" \
    --service-account-private-key-file="$work/pki/accounts.key" --use-service-account-credentials --leader-elect=false
  begin scheduler kube-scheduler --kubeconfig="$work/pki/scheduler.conf" --leader-elect=false
  begin kubelet kubelet --config="$work/kubelet.yaml" --kubeconfig="$work/pki/node.conf" --hostname-override=node1 \
    --node-ip="$address" --root-dir="$work/kubelet"
}

has_containerd() { ctr --address /run/containerd-test.sock version; }
has_api() { kubectl get --raw /readyz; }
is_ready() { [ "$(kubectl get node node1 --output 'jsonpath={.status.conditions[?(@.type=="Ready")].status}')" = True ]; }
has_account() { kubectl get serviceaccount default; }

# wait_for TRIES NAME CHECK: waits for a program of the cluster, and shows its log when it does not come.
wait_for() {
  poll "$1" "$3" || { tail -n 20 "$work/logs/$2.log" >&2; fail "the cluster's $2 did not start"; }
}

import_images() {
  local file
  for file in "$built"/images/*.tar "$work"/images/*.tar; do
    [ -e "$file" ] || continue
    ctr --address /run/containerd-test.sock --namespace k8s.io images import --local "$file" >"$work/logs/import.log" 2>&1 || {
      cat "$work/logs/import.log" >&2
      fail "the cluster does not take the image ${file##*/}"
    }
  done
}

# The part inside of the namespaces: COMMAND…
inside() {
  export PATH="$built/bin:$PATH" KUBECONFIG="$work/pki/admin.conf" CLAUDE_BOTTLE_TEST_CLUSTER="$work"
  make_network
  hide_places
  make_control_groups
  write_containerd
  write_kubelet
  write_audit_policy
  begin containerd containerd --config "$work/containerd.toml"
  start_api
  wait_for 150 containerd has_containerd
  import_images
  wait_for 600 apiserver has_api
  start_node
  wait_for 600 kubelet is_ready
  wait_for 150 controllers has_account
  say "Kubernetes $(kubectl version --output json | sed -n 's/^ *"gitVersion": "\(.*\)",$/\1/p' | tail -n 1) answers"
  "$@"
}

main() {
  local code=0 image
  [ "$(id -u)" -eq 0 ] || fail "a cluster needs root" "sudo $0 -- $*"
  built=$("$setup/cluster.sh")
  work=$(mktemp -d /tmp/cluster-XXXXXX)
  group="claude-bottle-$(basename "$work")"
  mkdir "$work/logs" "$work/pids" "$work/images"
  # shellcheck disable=SC2064
  trap "'$setup/remove-control-groups.sh' '$group'; rm -rf '$work'" EXIT
  # Programs of Pods' users reach their files through it.
  chmod 711 "$work"
  make_certificates
  for image in ${IMAGES:-}; do
    docker save --output "$work/images/$(tr -c 'a-z0-9\n' - <<<"$image").tar" "$image" || fail "the engine has no image $image" "make agent-image"
  done
  export built work group
  # A signal to this script ends the whole cluster: unshare itself would leave it.
  # A background job of a script would ignore interrupts, and so would all that the command starts.
  env --default-signal unshare --net --mount --pid --fork --kill-child --mount-proc -- "${BASH_SOURCE[0]}" --inside "$@" <&0 &
  # shellcheck disable=SC2064
  trap "kill -KILL $!" INT TERM HUP
  wait $! || code=$?
  return "$code"
}

case "${1:-}" in
  --inside) shift && inside "$@" ;;
  --) shift && main "$@" ;;
  *) fail "which command?" "tests/on-cluster.sh -- kubectl get nodes" ;;
esac
