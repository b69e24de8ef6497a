#!/usr/bin/env bash
# cluster.sh — a real Kubernetes of several nodes on one Linux machine, without Docker.
#
# Each node is a network namespace with its own containerd, kubelet and kube-proxy; etcd, the control plane, CoreDNS and
# a provisioner of volumes run beside them. Needs root, Go ≥ 1.26, and Debian's packages, which it installs.
#
#   cluster.sh up [NODES]         start (3 nodes unless told), or mend what has stopped; prints the KUBECONFIG to use
#   cluster.sh down               stop everything and remove every trace but the caches
#   cluster.sh load FILE.tar...   import image archives on every node
#   cluster.sh cut NODE           take a node off the network;                      heal NODE brings it back
#   cluster.sh kill NODE          lose a node and all that runs on it, at once;     start NODE boots it again
#   cluster.sh freeze DAEMON      stop a daemon of the control plane, such as apiserver, without ending it;  thaw DAEMON
#   cluster.sh kubeconfig         print where the KUBECONFIG is
#   cluster.sh build              compile Kubernetes, CoreDNS, Helm and the provisioner (12 minutes on 2 cores, cached)
#   cluster.sh images             pack the images of the tests from Debian's packages (a minute, cached)
#   cluster.sh packages           install the Debian packages that are missing
set -Eeuo pipefail
trap 'echo "cluster: failed (exit $?) at ${BASH_SOURCE[0]##*/} line $LINENO: $BASH_COMMAND" >&2' ERR # never without a word
HERE=$(cd "$(dirname "$0")" && pwd)
CACHE=${CLUSTER_CACHE:-$HOME/.cache/redis-replication-cluster}         # survives `down`
STATE=${CLUSTER_STATE:-/var/tmp/redis-replication-cluster}             # does not
RUN=/run/rrc BIN=$CACHE/bin IMAGES=$CACHE/images KUBECONFIG=$STATE/pki/admin.conf
BRIDGE=rrc0 GATEWAY=10.200.0.1 SERVICES=10.96.0.0/16 PODS=10.244
export PATH=$BIN:$PATH:/usr/sbin:/sbin KUBECONFIG

for part in common build control-plane node; do source "$HERE/lib/$part.sh"; done

up() {
  local i wanted=${1:-} started=$SECONDS
  packages; build; images
  if [ -d "$STATE" ] && ! running apiserver; then
    say "clearing the remains of a cluster whose processes are gone"; down
  fi
  if [ -f "$STATE/nodes" ] && [ "${wanted:-$(nodes)}" != "$(nodes)" ]; then
    die "there is a cluster of $(nodes) nodes; for another number run '$0 down' first"
  fi
  mkdir -p "$STATE"/{log,volumes} "$RUN"; [ -f "$STATE/nodes" ] || echo "${wanted:-3}" >"$STATE/nodes"
  network; control_plane
  for i in $(seq "$(nodes)"); do node "$i" & done; wait_all
  addons
  for i in $(seq "$(nodes)"); do await 120 kubectl wait --for=condition=Ready --timeout=5s "node/node$i"; done
  say "up after $((SECONDS - started)) s: $(nodes) nodes"
  echo "export KUBECONFIG=$KUBECONFIG"
}

down() {
  local i
  for i in $(seq "$(nodes)"); do lose "node$i"; done
  stop_all; no_network
  unmount "$STATE" "$RUN"; rm -rf "$STATE" "$RUN"
  elsewhere || true
}

elsewhere() { # what the kubelets, containerds and network plugins left in places of their own choice
  local file; rm -rf /var/lib/kubelet/device-plugins
  for file in $(grep -rls "$RUN/" /var/lib/cni); do rm -f "$file"; done
  find /var/log/containers -xtype l -delete
  rmdir --parents /var/lib/cni/{results,cache/results} /var/lib/kubelet /var/log/containers /run/containerd/{s,runc/k8s.io}
  rmdir /sys/fs/cgroup/k8s.io /sys/fs/cgroup/*/k8s.io
} 2>/dev/null

load() {
  [ $# -gt 0 ] || die "load what? cluster.sh load FILE.tar..."
  local i; is_up
  for i in $(seq "$(nodes)"); do running "containerd-node$i" || continue; import "node$i" "$@" & done; wait_all
}

nodes() { cat "$STATE/nodes" 2>/dev/null || echo 0; }
is_up() { running apiserver || die "the cluster is not up: run '$0 up'"; }
a_node() { is_up; [[ " $(seq -f node%g -s ' ' "$(nodes)") " == *" ${1:-} "* ]] || die "no such node: '${1:-}'; there are node1 to node$(nodes)"; }

command=${1:-help}; [ $# = 0 ] || shift
case $command in
  help|-h|--help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit ;;
  kubeconfig) echo "$KUBECONFIG"; exit ;;
esac
[ "$(id -u)" = 0 ] || die "needs root: it makes network namespaces and runs containers"
locked
case $command in
  up) up "$@" ;;
  down) down; say "down" ;;
  load) load "$@" ;;
  cut) a_node "$@"; ip link set "v$1" down ;;
  heal) a_node "$@"; ip link set "v$1" up ;;
  kill) a_node "$@"; lose "$1" ;;
  start) a_node "$@"; node "${1#node}" ;;
  freeze) is_up; running "${1:-}" || die "no such daemon: '${1:-}'"; kill -STOP "$(cat "$STATE/log/$1.pid")" ;;
  thaw) kill -CONT "$(cat "$STATE/log/$1.pid")" ;;
  build) packages; build ;;
  images) packages; images ;;
  packages) packages ;;
  *) die "no such command: $command; see '$0 help'" ;;
esac
