# shellcheck shell=bash
# One node: a network namespace, and in it containerd, the kubelet and kube-proxy.

# A bridge's port and a default route for a network namespace, which is made.
attach() { # NAMESPACE ADDRESS
  no_namespace "$1"; ip netns add "$1"
  ip link add "v$1" type veth peer name eth0 netns "$1"; ip link set "v$1" master $BRIDGE up
  ip -n "$1" addr add "$2/16" dev eth0; ip -n "$1" link set eth0 up; ip -n "$1" link set lo up; ip -n "$1" route add default via $GATEWAY
  ip netns exec "$1" sysctl -qw net.ipv4.ip_forward=1
}


node() { # NUMBER : boots it, unless it runs; what is left of one that does not is cleared first
  local i=$1 n=node$1 ip=10.200.0.$(($1 + 10)) dir=$STATE/node$1 j
  if running "containerd-$n" && running "kubelet-$n" && running "proxy-$n"; then
    ip link set "v$n" up; import "$n" "$IMAGES"/*.tar; return
  fi
  lose "$n"; mkdir -p "$dir"/{cni,kubelet,podlogs,plugins,imported}
  (cd "$STATE/pki" && { [ -f "$n.conf" ] || identity "$n" "/O=system:nodes/CN=system:node:$n" "DNS:$n,IP:$ip"; })
  attach "$n" "$ip"; ip route replace "$PODS.$i.0/24" via "$ip"
  for j in $(seq "$(nodes)"); do [ "$j" = "$i" ] || ip -n "$n" route add "$PODS.$j.0/24" via "10.200.0.$((j + 10))"; done
  node_files
  # nsenter, not `ip netns exec`: that mounts a new /sys, which hides the cgroups from the kubelet
  daemon "containerd-$n" nsenter --net="/run/netns/$n" containerd -c "$dir/containerd.toml"
  await 30 ctr -a "$RUN/$n.sock" version
  import "$n" "$IMAGES"/*.tar
  daemon "kubelet-$n" nsenter --net="/run/netns/$n" kubelet --config="$dir/kubelet.yaml" --kubeconfig="$STATE/pki/$n.conf" \
    --hostname-override="$n" --node-ip="$ip" --root-dir="$dir/kubelet" --node-labels="topology.kubernetes.io/zone=zone$i"
  proxy "$n" "$n" "$n"
}

no_namespace() { # NAMESPACE ; after a reboot it may be a mere file
  ip link del "v$1" 2>/dev/null || true
  ip netns del "$1" 2>/dev/null || rm -f "/run/netns/$1"
}

proxy() { # NAME NODE NAMESPACE ; the limits of the connection table are the machine's, not a node's to set
  daemon "proxy-$1" nsenter --net="/run/netns/$3" kube-proxy --kubeconfig="$STATE/pki/proxy.conf" --hostname-override="$2" \
    --cluster-cidr=$PODS.0.0/16 --proxy-mode="${PROXY_MODE:-iptables}" --conntrack-max-per-core=0 \
    --conntrack-tcp-timeout-established=0s --conntrack-tcp-timeout-close-wait=0s
}

node_files() {
  echo "nameserver $GATEWAY" >"$dir/resolv.conf"
  cat >"$dir/cni/10-rrc.conflist" <<C
{"cniVersion":"0.4.0","name":"rrc","plugins":[
 {"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":false,"hairpinMode":true,
  "ipam":{"type":"host-local","dataDir":"$dir/ipam","ranges":[[{"subnet":"$PODS.$i.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}]}},
 {"type":"portmap","capabilities":{"portMappings":true}}]}
C
  # restrict_oom_score_adj: the machine may withhold CAP_SYS_RESOURCE
  cat >"$dir/containerd.toml" <<C
version = 2
root = "$dir/containerd"
state = "$RUN/$n"
[grpc]
  address = "$RUN/$n.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$dir/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  disable_apparmor = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$dir/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
    Root = "$RUN/$n/runc"
C
  # KubeletInUserNamespace: it tolerates what needs CAP_SYS_RESOURCE. failCgroupV1: old cgroups will do.
  # crashLoopBackOff: a killed container is back at once, round after round.
  cat >"$dir/kubelet.yaml" <<C
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $STATE/pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $STATE/pki/$n.crt
tlsPrivateKeyFile: $STATE/pki/$n.key
containerRuntimeEndpoint: unix://$RUN/$n.sock
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
localStorageCapacityIsolation: false
featureGates: {KubeletInUserNamespace: true}
clusterDNS: [$GATEWAY]
clusterDomain: cluster.local
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {nodefs.available: "1Mi", imagefs.available: "1Mi", memory.available: "1Mi"}
nodeStatusUpdateFrequency: 5s
crashLoopBackOff: {maxContainerRestartPeriod: 1s}
podLogsDir: $dir/podlogs
volumePluginDir: $dir/plugins
resolvConf: $dir/resolv.conf
C
}

import() { # NODE ARCHIVE... : those it does not have yet as they are now
  local n=$1 archive marker version; shift
  for archive in "$@"; do
    archive=$(realpath "$archive"); marker=$STATE/$n/imported/${archive//\//%}; version=$(stat -c '%i %s %y' "$archive")
    [ "$(cat "$marker" 2>/dev/null)" != "$version" ] || continue
    ctr -a "$RUN/$n.sock" -n k8s.io images import "$archive" >/dev/null || die "cannot import $archive on $n"
    echo "$version" >"$marker"
  done
}

# As in a loss of power, the network goes first: a killed process could still say goodbye to its peers.
lose() { # NODE : its network, its daemons, its containers; the disk stays
  local n=$1 d container id groups
  ip link del "v$n" 2>/dev/null || true
  for d in kubelet proxy containerd; do stop "$d-$n"; done
  for container in "$RUN/$n"/io.containerd.runtime.v2.task/k8s.io/*/; do
    [ -d "$container" ] || continue
    id=$(basename "$container"); groups=(/sys/fs/cgroup/k8s.io/"$id" /sys/fs/cgroup/*/k8s.io/"$id") # of version 2, of version 1
    kill_all "$({ cat "${groups[@]/%//cgroup.procs}" 2>/dev/null || true; } | sort -u | tr '\n' ' ')"
    rmdir "${groups[@]}" 2>/dev/null || true
    { sed 's,^unix://,,' "$container/address" 2>/dev/null || true; } | xargs -r rm -f # the shim's socket, which is elsewhere
  done
  unmount "$STATE/$n" "$RUN/$n"; no_namespace "$n"
  rm -rf "${RUN:?}/$n" "$RUN/$n".sock* "$STATE/$n/ipam"
}
