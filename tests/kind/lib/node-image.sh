# shellcheck shell=bash
# A kind node image of our own, for machines that reach no registry: Debian's packages, Kubernetes from Go modules, and
# inside it the images of the cluster's own components. Sourced by kind.sh.

pack() { # IMAGE BINARY ENTRYPOINT : an image of one static binary
  local root; root=$(mktemp -d)
  mkdir -p "$root/tmp" "$root/etc/ssl/certs" "$root$(dirname "$3")"; chmod 1777 "$root/tmp"
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"; cp "$2" "$root$3"
  "$CLUSTER/pack-image.py" "$1" "$root" "$OUT/images/$(basename "$2").tar" --entrypoint "$3"; rm -rf "$root"
}

compile() { # FILE MODULE PACKAGE [LDFLAGS] : once, and again for other versions
  local recipe; recipe=$(cat "$2/go.mod" - <<<"$3 ${4:-}" | sha256sum)
  [ -x "$1" ] && [ "$(cat "$1.recipe" 2>/dev/null)" = "$recipe" ] && return
  (cd "$2" && CGO_ENABLED=0 nice go build -trimpath -ldflags="-s -w ${4:-}" -o "$1" "$3")
  echo "$recipe" >"$1.recipe"
}

component_images() {
  local stamp="-X k8s.io/component-base/version.gitVersion=$KUBE" c
  stamp+=" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=${KUBE:3:2}"
  compile "$OUT/kubeadm" "$CLUSTER/kubernetes" k8s.io/kubernetes/cmd/kubeadm "$stamp"
  compile "$OUT/etcd" "$HERE/etcd" go.etcd.io/etcd/server/v3 # Debian's is 3.4; kubeadm wants 3.6
  mkdir -p "$OUT/images"
  for c in kube-apiserver kube-controller-manager kube-scheduler; do
    pack registry.k8s.io/$c:$KUBE "$BIN/$c" /usr/local/bin/$c; done
  pack registry.k8s.io/coredns/coredns:$COREDNS "$BIN/coredns" /coredns
  pack registry.k8s.io/etcd:$ETCD "$OUT/etcd" /usr/local/bin/etcd
  gcc -O2 -static -s -o "$OUT/pause" "$CLUSTER/pause.c"
  pack registry.k8s.io/pause:$PAUSE "$OUT/pause" /pause
  # kube-proxy, the pod network and the volume provisioner share one file system: Debian with iptables, ip and a shell
  [ -d "$OUT/tools" ] || debian "$OUT/tools" minbase iptables,conntrack,iproute2,kmod
  cp "$BIN"/{kube-proxy,kubectl,local-path-provisioner} "$HERE/pod-network" "$OUT/tools/usr/local/bin/"
  "$CLUSTER/pack-image.py" registry.k8s.io/kube-proxy:$KUBE "$OUT/tools" "$OUT/images/kube-proxy.tar" \
    --cmd /usr/local/bin/kube-proxy
}

node_image() {
  docker image inspect "$OWN_NODE_IMAGE" >/dev/null 2>&1 && return
  say "making the node image $OWN_NODE_IMAGE (once)"
  need gcc libc6-dev python3
  "$CLUSTER/cluster.sh" build
  component_images
  local n=$OUT/node w=etc/systemd/system u packages=(systemd systemd-sysv dbus containerd runc containernetworking-plugins
    iptables conntrack iproute2 ethtool socat mount kmod procps ca-certificates hostname)
  [ -d "$n" ] || debian "$n" minbase "$(IFS=,; echo "${packages[*]}")"
  cp -r "$HERE/node/." "$n/"; mkdir -p "$n/kind/images" "$n/$w/multi-user.target.wants"
  sed -i "s/@KUBE@/$KUBE/; s/@PAUSE@/$PAUSE/" "$n/etc/containerd/config.toml" "$n/$w/node-images.service"
  cp "$OUT/kubeadm" "$BIN"/{kubelet,kubectl} "$n/usr/bin/"; cp "$OUT"/images/*.tar "$n/kind/images/"
  printf %s "$KUBE" >"$n/kind/version"; rm -f "$n/etc/hostname"
  for u in /$w/kubelet /$w/node-images /lib/systemd/system/containerd; do
    ln -sf $u.service "$n/$w/multi-user.target.wants/"; done
  for u in getty@.service console-getty.service getty.target systemd-logind.service apt-daily.timer apt-daily-upgrade.timer \
    dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service systemd-update-utmp.service systemd-update-utmp-runlevel.service \
    systemd-modules-load.service sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount; do
    ln -sf /dev/null "$n/$w/$u"; done # what has no use, or fails, in a container
  tar -C "$n" -c . | docker import --change 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]' \
    --change 'ENV container=docker' - "$OWN_NODE_IMAGE" >/dev/null
  docker image ls -q "${OWN_NODE_IMAGE%:*}" --filter "before=$OWN_NODE_IMAGE" | xargs -r docker rmi -f >/dev/null 2>&1 || true
}
