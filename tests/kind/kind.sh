#!/usr/bin/env bash
# kind.sh — the end-to-end tests' cluster in kind.
#
# Where a registry can be reached this is `kind create cluster` with kind's own node image. Where none can, it makes a
# node image and the Dockerfile's base images from Debian's packages and Go modules, on a Docker engine it starts itself.
#
#   kind.sh up [CONFIG]           create the cluster (default cluster.yaml); prints the KUBECONFIG to use
#   kind.sh load ARCHIVE | IMAGE  give an image archive, or one of the engine's images, to every node
#   kind.sh kubeconfig            where `up` wrote the kubeconfig: a file of its own, not ~/.kube/config
#   kind.sh cut NODE | heal NODE      take a node off the network, and bring it back
#   kind.sh kill NODE | start NODE    lose a node with all that runs on it, and boot it again
#   kind.sh freeze apiserver | thaw apiserver    stop the API server without ending it, and let it go on
#   kind.sh down                  delete the cluster, and stop the engine if it was started here
#   kind.sh image [ARCHIVE]       build the Dockerfile as $IMAGE, and save it
#   kind.sh docker | docker-stop  start an engine if none runs; stop the one started so
#   kind.sh build                 only make our own node image (once, minutes; `up` does it when it must)
#
# KIND_IMAGE: the node image to use, whatever can be reached. IMAGE: the operator image's name.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
# shellcheck disable=SC1090
for part in common engine node-image operator-image; do source "$HERE/lib/$part.sh"; done
export KUBECONFIG=$STATE/kubeconfig
SERVICES=$(sed -n 's/.*serviceSubnet: \([0-9./]*\).*/\1/p' "$HERE/cluster.yaml")

kind_tools() {
  command -v kubectl >/dev/null || "$CLUSTER/cluster.sh" build
  [ ! -e "$OUT/kind" ] && command -v kind >/dev/null || compile "$OUT/kind" "$CLUSTER/addons" sigs.k8s.io/kind
}

choose_node_image() { # sets NODE_IMAGE
  NODE_IMAGE=${KIND_IMAGE:-}
  [ -z "$NODE_IMAGE" ] || return 0
  NODE_IMAGE=$(grep -aoEm1 'kindest/node:v[0-9.]+@sha256:[0-9a-f]{64}' "$(command -v kind)" | head -n 1) || true # this kind's own
  docker image inspect "$NODE_IMAGE" >/dev/null 2>&1 || docker pull -q "$NODE_IMAGE" >/dev/null 2>&1 || {
    say "${NODE_IMAGE%@*} cannot be pulled: using our own node image"; NODE_IMAGE=$OWN_NODE_IMAGE; }
  [ "$NODE_IMAGE" != "$OWN_NODE_IMAGE" ] || node_image
}

up() {
  engine; kind_tools
  if kubectl get --raw /readyz >/dev/null 2>&1; then
    say "already up"; NODE_IMAGE=$(docker inspect -f '{{.Config.Image}}' "$NAME-control-plane")
    local node; for node in $(kind get nodes --name "$NAME"); do docker start "$node" >/dev/null; heal "$node"; done
  else
    fresh_cluster "$@"
  fi
  routes || say "no routes from here to Services and pods (they need root, or sudo without a password)"
  test_images
  echo "export KUBECONFIG=$KUBECONFIG"
}

fresh_cluster() { # [CONFIG]
  kind delete cluster --name "$NAME" 2>/dev/null; rm -rf "$STATE/loaded"; mkdir -p "$STATE/loaded"
  # kubelets watch many files; with the usual 128 instances the third node's cannot
  [ "$(cat /proc/sys/fs/inotify/max_user_instances)" -ge 1024 ] ||
    as_root sysctl -qw fs.inotify.max_user_instances=1024 || true
  choose_node_image
  # a busy machine can miss kind's 30 s for a node's first line of log
  create "$@" || { say "trying once more"; create "$@"; }
}
create() { kind create cluster --name "$NAME" --image "$NODE_IMAGE" --config "${1:-$HERE/cluster.yaml}" --wait 180s; }

test_images() { # the Redis and Valkey images that the tests use
  [ "$NODE_IMAGE" = "$OWN_NODE_IMAGE" ] || return 0 # the nodes pull them
  "$CLUSTER/cluster.sh" images
  local archive mark
  for archive in "$CACHE"/images/*.tar; do
    mark=$STATE/loaded/$(basename "$archive")
    [ "$mark" -nt "$archive" ] || { load "$archive"; touch "$mark"; }
  done
}

routes() { # this machine reaches Services and pods, as in tests/cluster: clients that belong to no node
  local to via
  kubectl get nodes \
    -o jsonpath='{range .items[*]}{.spec.podCIDR} {.status.addresses[?(@.type=="InternalIP")].address}{"\n"}{end}' |
    { cat; echo "$SERVICES $(docker inspect -f '{{.NetworkSettings.Networks.kind.IPAddress}}' "$NAME-control-plane")"; } |
    while read -r to via; do as_root ip route replace "$to" via "$via" || return 1; done
}

load() {
  if [ -f "$1" ]; then kind load image-archive --name "$NAME" "$1"; else kind load docker-image --name "$NAME" "$1"; fi
}

link() { # -A|-D NODE : drop what crosses the node's border, the pods' packets too
  docker exec "$2" iptables -w -t mangle "$1" PREROUTING -i eth0 -j DROP
  docker exec "$2" iptables -w -t mangle "$1" POSTROUTING -o eth0 -j DROP
}
daemon() { docker exec "$NAME-control-plane" pkill "-$1" -x "kube-$2"; } # SIGNAL apiserver
heal() { while link -D "$1" 2>/dev/null; do :; done; }

case ${1:-} in
  up) up "${@:2}" ;;
  load) load "$2" ;;
  kubeconfig) echo "$KUBECONFIG" ;;
  cut) link -A "$2" ;;
  heal) heal "$2" ;;
  kill) link -A "$2"; docker kill "$2" >/dev/null ;; # the cable first, so that nobody hears a goodbye
  start) docker start "$2" >/dev/null ;;
  freeze) daemon STOP "$2" ;;
  thaw) daemon CONT "$2" ;;
  down) if docker info >/dev/null 2>&1 && command -v kind >/dev/null; then kind delete cluster --name "$NAME"; fi
    engine_stop; rm -rf "$KUBECONFIG" "$STATE"/{loaded,dockerd.log}; rmdir "$STATE" 2>/dev/null || true ;;
  image) engine; operator_image "${@:2}" ;;
  docker) engine ;;
  docker-stop) engine_stop ;;
  build) engine; kind_tools; node_image ;;
  *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 2 ;;
esac
