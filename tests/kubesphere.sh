#!/usr/bin/env bash
# Checks what is built for KubeSphere, and the checker itself on packages that are broken. Needs helm and python3.
# With KUBECONFIG set to a test cluster that answers: the rights in permissions.yaml are enough to install the operator's
# chart, as KubeSphere would, by an account that has nothing else; and to remove it.
set -euo pipefail
source "$(dirname "$0")/checks.sh"
ns=redis-replication-kubesphere-$$ used_cluster=
finish() {
  if [ -n "$used_cluster" ]; then
    kubectl delete clusterrole,clusterrolebinding "$ns" "$ns-operator" "$ns-operator-edit" "$ns-operator-view" --ignore-not-found >/dev/null || true
    kubectl delete namespace "$ns" --ignore-not-found --wait=false >/dev/null || true
  fi
  rm -rf "$tmp"
}
trap finish EXIT

out=$tmp/out.d; version=$(sed -n 's/^version: //p' charts/redis-replication/Chart.yaml)
extension_version=$(sed -n 's/^version: //p' kubesphere/extension/extension.yaml)
check "both archives are built" kubesphere/build.py "$out"
extension=$out/redis-replication-operator-$extension_version.tgz app=$out/redis-replication-$version.tgz
check "the extension keeps to the rules" kubesphere/check.py "$extension"
check "the app template keeps to the rules" kubesphere/check.py "$app"
check "the extension has the chart's version" grep -qx "version: $extension_version" charts/redis-replication-operator/Chart.yaml

broken() { # NAME ARCHIVE WORDS COMMAND... : after the command, run inside the package, the checker says these words
  check "refused: $1" finds_fault "${@:2}"
}
finds_fault() {
  local archive=$1 words=$2 said; shift 2
  rm -rf "$tmp/broken"; mkdir "$tmp/broken"; tar -xzf "$archive" -C "$tmp/broken"
  (cd "$tmp/broken"/* && "$@")
  (cd "$tmp/broken" && tar -czf "$tmp/broken.tgz" -- *)
  if said=$(kubesphere/check.py "$tmp/broken.tgz"); then echo "it was let through"; return 1; fi
  grep -E "$words" <<<"$said" || { echo "$said"; return 1; }
}
no_archive() { echo nothing >"$tmp/none.tgz"; ! kubesphere/check.py "$tmp/none.tgz" >"$tmp/said" && grep "E1: no archive" "$tmp/said"; }
big() { head -c 1200000 /dev/urandom >noise; }
cluster_wide() { printf 'apiVersion: v1\nkind: Namespace\nmetadata:\n  name: mine\n' >templates/namespace.yaml; }

check "refused: what is no archive" no_archive
broken "an extension without a category" "$extension" "E2: extension.yaml has no category" sed -i '/^category/d' extension.yaml
broken "a name in capitals" "$extension" "E3: the name 'Redis'" sed -i 's/^name: .*/name: Redis/' extension.yaml
broken "a version with a plus" "$extension" "E4: the version '0.1.0.x'" sed -i 's/^version: .*/version: 0.1.0+x/' extension.yaml
broken "no Chinese description" "$extension" "E5: description has no text in zh" sed -i '/zh: 看护/d' extension.yaml
broken "a Chart.yaml of another version" "$extension" "E6: version is '9.9.9'" sed -i 's/^version: .*/version: 9.9.9/' Chart.yaml
broken "no icon" "$extension" "E7: the icon" rm -r static
broken "no Chinese README" "$extension" "E8: README_zh.md is missing" rm README_zh.md
broken "a package that is too large" "$extension" "E9: .* more than a megabyte" big
broken "a dependency that is not there" "$extension" "E10: charts/roles/Chart.yaml is missing" rm -r charts/roles
broken "a wildcard" "$extension" "E11: .*'\*' in verbs" sed -i '0,/verbs: .*/s//verbs: ["*"]/' permissions.yaml
broken "no right to make the Deployment" "$extension" "E11: .* create the Deployment" sed -i 's/\[deployments\]/[daemonsets]/' permissions.yaml
broken "no right to grant" "$extension" "E11: .* grant get leases.coordination.k8s.io redis-replication-operator in the Role" sed -i '/leases/,$d' permissions.yaml
broken "a registry that arrives nowhere" "$extension" "E12: global.imageRegistry does not reach" sed -i 's/default .Values.global.imageRegistry .Values.image.registry/.Values.image.registry/' charts/redis-replication-operator/templates/_helpers.tpl
broken "an image that is not named" "$extension" "E13: images does not name" sed -i 's/- redis-replication-operator:0.1.0/- other:1/' extension.yaml
broken "a CRD that a removal would delete" "$extension" "E14: " sed -i 's/"helm.sh.resource-policy" "keep"/"a" "b"/' charts/redis-replication-operator/templates/crd.yaml
broken "an app without values.yaml" "$app" "A1: values.yaml is missing" rm values.yaml
broken "an app that is too large" "$app" "A2: " big
broken "an app's README in one language" "$app" "A3: README.md must be in both" sh -c 'echo "Only English." >README.md'
broken "an app's icon that the console can't show" "$app" "A4: the icon must be" sed -i 's/^icon: /icon: data:image\/png;base64,/' Chart.yaml
broken "an empty form" "$app" "A5: .* empty form" sed -i 's/"form": true/"form": false/' values.schema.json
broken "a switch in the form" "$app" "A5: architecture: the form can edit" sed -i '0,/"type": "string"/s//"type": "boolean"/' values.schema.json
broken "an object that is no project's" "$app" "A6: Namespace mine" cluster_wide

# As KubeSphere does it: an account with what permissions.yaml says and nothing else installs the chart. Under a name of its
# own, and without operator pods and the CRD, so as not to disturb what is there.
account() {
  kubectl create namespace "$ns" && kubectl -n "$ns" create serviceaccount installer
  sed "s/redis-replication-operator/$ns-operator/g; s/^kind: \(ClusterRole\|Role\)$/apiVersion: rbac.authorization.k8s.io\/v1\n&\nmetadata: {name: $ns, namespace: $ns}/" \
    kubesphere/extension/permissions.yaml | kubectl apply -f -
  kubectl create clusterrolebinding "$ns" --clusterrole="$ns" --serviceaccount="$ns:installer"
  kubectl -n "$ns" create rolebinding "$ns" --role="$ns" --serviceaccount="$ns:installer"
}
as_installer() { helm "$@" --namespace "$ns" --kube-as-user "system:serviceaccount:$ns:installer" --kube-as-group system:serviceaccounts --kube-as-group system:authenticated; }
installs() { as_installer upgrade --install try "$extension" --set tags.agent=true,tags.extension=false --set redis-replication-operator.fullnameOverride="$ns-operator",redis-replication-operator.replicas=0,redis-replication-operator.crds.install=false "$@"; }
too_little() { kubectl -n "$ns" delete rolebinding "$ns"; ! as_installer list >"$tmp/said" 2>&1 && grep -i forbidden "$tmp/said"; }

if cluster_for "an installation with these rights"; then
  used_cluster=yes
  check "an account with the rights of permissions.yaml" account
  check "it may install the operator's chart" installs
  check "it may upgrade it, with all that needs more rights" installs --set redis-replication-operator.podLabels.a=b \
    --set redis-replication-operator.metrics.authentication.enabled=true,redis-replication-operator.networkPolicy.enabled=true \
    --set 'redis-replication-operator.metrics.authentication.readers[0].kind=Group,redis-replication-operator.metrics.authentication.readers[0].name=on-call'
  check "it may remove it" as_installer uninstall try
  check "without the Role it may not even look" too_little
fi

summary
