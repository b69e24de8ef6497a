# shellcheck shell=bash
# Names, places and small tools that the scripts of this directory share; sourced by kind.sh.
ROOT=$(cd "$HERE/../.." && pwd); CLUSTER=$HERE/../cluster
CACHE=${CLUSTER_CACHE:-$HOME/.cache/redis-replication-cluster} # shared with tests/cluster: the same binaries and test images
BIN=$CACHE/bin; OUT=$CACHE/kind; export PATH=$OUT:$BIN:$PATH
STATE=${KIND_STATE:-/var/tmp/redis-replication-kind}
NAME=${KIND_NAME:-redis-replication}
IMAGE=${IMAGE:-localhost/redis-replication-operator:dev}
KUBE=$(sed -n 's/^KUBE=//p' "$CLUSTER/lib/build.sh") # the next three are what `kubeadm config images list` gives for it
ETCD=3.6.8-0; COREDNS=v1.14.2; PAUSE=3.10.2
RECIPE=$(cd "$HERE" && find node pod-network etcd lib/node-image.sh -type f | sort | xargs cat | sha256sum | cut -c1-8)
OWN_NODE_IMAGE=localhost/redis-replication-node:$KUBE-$RECIPE # so it is made anew when what it is made of changes

say() { echo "kind: $*" >&2; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

need() { # PACKAGE... : Debian's packages that this machine lacks
  local p missing=()
  for p in "$@"; do [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing+=("$p"); done
  [ ${#missing[@]} = 0 ] && return
  say "installing ${missing[*]}"
  local install=(apt-get install -y -qq --no-install-recommends "${missing[@]}")
  as_root "${install[@]}" >/dev/null 2>&1 || { as_root apt-get update -qq; as_root "${install[@]}" >/dev/null; }
}

debian() { # DIR VARIANT PACKAGE,... : a small Debian, from the mirror that this machine itself uses
  local mirror; mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' 2>/dev/null |
    head -n 1)
  need mmdebstrap; mkdir -p "$(dirname "$1")"; rm -rf "$1.part"
  # bookworm everywhere: the last whose systemd boots on cgroup v1, and what the Dockerfile's bases are made of
  nice mmdebstrap --quiet --variant="$2" --include="$3" --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' bookworm "$1.part" "${mirror:-http://deb.debian.org/debian}"
  rm -rf "$1.part"/var/cache/apt/* "$1.part"/var/lib/apt/lists/* "$1"
  mv "$1.part" "$1"
}
