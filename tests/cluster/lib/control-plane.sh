# shellcheck shell=bash
# The part of the cluster that belongs to no node: the bridge, etcd, the control plane, CoreDNS, volumes.

network() {
  # kubelets and containerds watch many files; the usual 128 instances are too few for some nodes more
  [ "$(cat /proc/sys/fs/inotify/max_user_instances)" -ge 1024 ] || sysctl -qw fs.inotify.max_user_instances=1024 || true
  ip link show $BRIDGE >/dev/null 2>&1 && return
  # A fixed address: else the bridge's follows its ports, and every node loses its gateway when one goes.
  ip link add $BRIDGE address 02:52:52:43:00:01 type bridge
  ip addr add $GATEWAY/16 dev $BRIDGE; ip link set $BRIDGE up; sysctl -qw net.ipv4.ip_forward=1
  # Bridged packets may pass the machine's iptables, where Docker and firewalls drop what they do not know.
  local rule; for rule in "${RULES[@]}"; do iptables -w -I $rule; done
}
RULES=("FORWARD -i $BRIDGE -j ACCEPT" "FORWARD -o $BRIDGE -j ACCEPT" "INPUT -i $BRIDGE -j ACCEPT")

no_network() {
  local rule; for rule in "${RULES[@]}"; do while iptables -w -D $rule 2>/dev/null; do :; done; done
  no_namespace rrc-services
  ip link del $BRIDGE 2>/dev/null || true # and the routes over it
}

pki() {
  mkdir -p "$STATE/pki"; cd "$STATE/pki"; [ -f complete ] && return
  ssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 3650 -subj /CN=rrc-ca
  ssl genrsa -out sa.key 2048; ssl rsa -in sa.key -pubout -out sa.pub
  identity api /CN=kube-apiserver "IP:$GATEWAY,IP:10.96.0.1,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
  identity admin "/O=system:masters/CN=admin"; identity kcm /CN=system:kube-controller-manager
  identity sched /CN=system:kube-scheduler; identity proxy /CN=system:kube-proxy
  touch complete
}

ssl() { openssl "$@" 2>>"$STATE/log/openssl.log" || die "openssl $1 failed; see $STATE/log/openssl.log"; }

# The serial numbers are openssl's random ones: a file of them would be shared by nodes that boot side by side.
identity() { # NAME SUBJECT [SAN] : a certificate, and a kubeconfig that uses it
  local name=$1 conf=(kubectl config --kubeconfig="$1.conf")
  ssl req -newkey rsa:2048 -nodes -keyout "$name.key" -out "$name.csr" -subj "$2"
  ssl x509 -req -in "$name.csr" -CA ca.crt -CAkey ca.key -days 3650 -out "$name.crt" \
    -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=clientAuth,serverAuth\n' "${3:-DNS:localhost}")
  { "${conf[@]}" set-cluster rrc --server="https://$GATEWAY:6443" --certificate-authority=ca.crt --embed-certs
    "${conf[@]}" set-credentials "$name" --client-certificate="$name.crt" --client-key="$name.key" --embed-certs
    "${conf[@]}" set-context rrc --cluster=rrc --user="$name"
    "${conf[@]}" use-context rrc; } >/dev/null
}

control_plane() {
  pki; cd "$STATE/pki"
  local etcd=http://127.0.0.1:12379 peer=http://127.0.0.1:12380 # not etcd's usual ports: somebody else may be there
  daemon etcd etcd --data-dir "$STATE/etcd" --unsafe-no-fsync --listen-client-urls $etcd --advertise-client-urls $etcd \
    --listen-peer-urls $peer --initial-advertise-peer-urls $peer --initial-cluster default=$peer
  # Without the preferred address, `exec` and `logs` look for the nodes' names in a DNS that does not know them.
  daemon apiserver kube-apiserver --etcd-servers=$etcd --bind-address=$GATEWAY --advertise-address=$GATEWAY --secure-port=6443 \
    --client-ca-file=ca.crt --tls-cert-file=api.crt --tls-private-key-file=api.key --service-cluster-ip-range=$SERVICES \
    --service-account-key-file=sa.pub --service-account-signing-key-file=sa.key \
    --service-account-issuer=https://kubernetes.default.svc --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
    --allow-privileged=true --kubelet-client-certificate=admin.crt --kubelet-client-key=admin.key \
    --kubelet-preferred-address-types=InternalIP
  await 60 kubectl get --raw /readyz
  daemon controllers kube-controller-manager --kubeconfig=kcm.conf --service-account-private-key-file=sa.key --root-ca-file=ca.crt \
    --use-service-account-credentials --leader-elect=false --node-monitor-grace-period=20s --bind-address=127.0.0.1 \
    --flex-volume-plugin-dir="$STATE/plugins"
  daemon scheduler kube-scheduler --kubeconfig=sched.conf --leader-elect=false --bind-address=127.0.0.1
}

addons() { dns; volumes; services_from_here; }

dns() {
  cat >"$STATE/Corefile" <<C
.:53 {
  bind $GATEWAY
  errors
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    kubeconfig $KUBECONFIG rrc
    pods insecure
    ttl 5
  }
  cache 5
}
C
  daemon coredns coredns -conf "$STATE/Corefile"
}

volumes() {
  local dir=$STATE/local-path image=docker.io/library/redis:8.0 # any image with a shell
  mkdir -p "$dir"; cd "$dir"
  echo "{\"nodePathMap\":[{\"node\":\"DEFAULT_PATH_FOR_NON_LISTED_NODES\",\"paths\":[\"$STATE/volumes\"]}]}" >config.json
  printf '#!/bin/sh\nset -eu\nmkdir -m 0777 -p "$VOL_DIR"\n' >setup
  printf '#!/bin/sh\nset -eu\nrm -rf "$VOL_DIR"\n' >teardown
  cat >helperPod.yaml <<C
apiVersion: v1
kind: Pod
metadata: {name: helper-pod}
spec:
  priorityClassName: system-node-critical
  tolerations: [{operator: Exists}]
  containers: [{name: helper-pod, image: $image, imagePullPolicy: IfNotPresent}]
C
  kubectl create configmap local-path-config --from-file=. --dry-run=client -o yaml >../local-path.configmap
  kubectl apply -f - >/dev/null <<C
apiVersion: v1
kind: Namespace
metadata: {name: local-path-storage}
---
$(sed 's/^metadata:/metadata:\n  namespace: local-path-storage/' ../local-path.configmap)
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: local-path, namespace: local-path-storage}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: standard, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}
provisioner: rancher.io/local-path
volumeBindingMode: WaitForFirstConsumer
reclaimPolicy: Delete
C
  POD_NAMESPACE=local-path-storage daemon local-path local-path-provisioner start --config config.json --kubeconfig "$KUBECONFIG" \
    --service-account-name local-path --namespace local-path-storage --helper-image $image
}

# This machine reaches Services, as the API server's webhooks and the tests need, through a namespace of their own with
# nothing in it but a kube-proxy: so whichever node is cut or killed, that way stays.
services_from_here() {
  local ip=10.200.0.10 ns=rrc-services i
  if ! running proxy-services; then
    attach $ns $ip; for i in $(seq "$(nodes)"); do ip -n $ns route add "$PODS.$i.0/24" via "10.200.0.$((i + 10))"; done
    proxy services node1 $ns # it must name a node that exists, and asks only for its zone
  fi
  ip route replace $SERVICES via $ip
}
