# shellcheck shell=bash
# What has to be there before a cluster can start: Debian's packages, Kubernetes' binaries, images.

KUBE=v1.36.3
KUBE_STAMP="-X k8s.io/component-base/version.gitVersion=$KUBE -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36"
# redis-server is for the tests that need no cluster
PACKAGES="busybox-static ca-certificates conntrack curl containerd containernetworking-plugins etcd-server gcc iproute2 iptables libc6-dev make
  mmdebstrap openssl procps python3 redis-server runc"

packages() {
  local p installed missing=()
  installed=" $(dpkg-query -W -f '${db:Status-Status}/${Package} ' $PACKAGES 2>/dev/null || true)"
  for p in $PACKAGES; do [[ $installed == *" installed/$p "* ]] || missing+=("$p"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing Debian packages: ${missing[*]}"
  apt-get update -qq >&2
  # Debian starts what it installs; the cluster runs its own etcd and containerd, so nothing is started
  local policy=/usr/sbin/policy-rc.d made='' failed=''
  [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy; made=$policy; }
  DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends "${missing[@]}" >&2 || failed=yes
  [ -z "$made" ] || rm "$made"
  [ -z "$failed" ] || die "apt-get could not install: ${missing[*]}"
}

build() { # also Helm, for `make install`, and kubectl
  built kubernetes "Kubernetes $KUBE (12 minutes on 2 cores, once)" "$KUBE_STAMP" \
    k8s.io/kubernetes/cmd/{kube-apiserver,kube-controller-manager,kube-scheduler,kube-proxy,kubelet,kubectl}
  built addons "CoreDNS, Helm and the volume provisioner (3 minutes on 2 cores, once)" "" \
    ./coredns helm.sh/helm/v4/cmd/helm github.com/rancher/local-path-provisioner
}

# built MODULE WHAT LDFLAGS PACKAGE... : compile them, unless this very recipe was finished before. They are moved to
# where they are used only when all are there, and the stamp comes last.
built() {
  local module=$1 what=$2 flags=$3 partial=$BIN/.$1.partial stamp=$BIN/.$1.stamp recipe; shift 3
  recipe=$(cd "$HERE/$module" && { echo "$flags" "$@"; find . -type f | sort | xargs cat; } | sha256sum)
  [ "$(cat "$stamp" 2>/dev/null)" = "$recipe" ] && return
  command -v go >/dev/null || die "needs Go 1.26 or newer: https://go.dev/dl/"
  (cd "$HERE/$module" && go version >/dev/null) || die "needs Go 1.26 or newer, this is $(cd / && go version)"
  say "compiling $what"; rm -rf "$stamp" "$partial"; mkdir -p "$partial"
  (cd "$HERE/$module" && CGO_ENABLED=0 nice go build -trimpath -ldflags="-s -w $flags" -o "$partial/" "$@") 9>&-
  mv "$partial"/* "$BIN/"; rmdir "$partial"; echo "$recipe" >"$stamp"
}

images() { "$HERE/../images/servers.sh" "$IMAGES"; }
