#!/usr/bin/env bash
# Checks the operator's chart, the plain manifests, their Kustomize variants and the examples. Needs helm; installs no tools.
# With KUBECONFIG set to a test cluster that answers, the API server checks everything too: the CRD is installed or
# updated there and stays; a namespace under the restricted Pod Security Standard comes and goes; all else is a dry run.
set -euo pipefail
source "$(dirname "$0")/checks.sh"
chart=charts/redis-replication-operator; crd=$chart/crds/redisreplications.yaml ns=redis-replication-chart-$$
trap leave EXIT

render() { helm template redis-replication-operator "$chart" --namespace "$ns" "$@"; }
up_to_date() { manifests/generate.sh "${2:---print}" | diff "$1" - || { echo "run manifests/generate.sh"; false; }; }
few_rights() { # the rules have no wildcards, and Secrets are neither listed nor watched
  render -s templates/rbac.yaml >"$tmp/rbac" && ! grep -n '\*' "$tmp/rbac" && grep -A1 'resources: \[secrets\]' "$tmp/rbac" | grep -qx '  verbs: \[get, create\]'
}

check "helm lint --strict" helm lint --strict "$chart"
for values in tests/chart/*.yaml; do check "lint with ${values##*/}" helm lint --strict "$chart" -f "$values"; done

check "a misspelt key is refused" refuses "replica'? (is )?not allowed" --set replica=2
check "a misspelt inner key is refused" refuses "tagg" --set image.tagg=1
check "a wrong type is refused" refuses "replicas.*(integer|type)|got string" --set-string replicas=two
check "an unknown log format is refused" refuses "logFormat" --set logFormat=xml
check "a quantity that is none is refused" refuses "memory" --set resources.limits.memory=lots
check "a ServiceMonitor without a Service is refused" refuses "metrics.service.enabled" --set metrics.serviceMonitor.enabled=true,metrics.service.enabled=false
check "being part of another chart is not refused" render --set global.anything=1

check "defaults: two replicas, all namespaces" renders '^  replicas: 2$' 'kind: NetworkPolicy|kind: ServiceMonitor|tokenreviews|8443'
check "defaults: a PodDisruptionBudget" renders 'kind: PodDisruptionBudget' nothing
check "one replica: no PodDisruptionBudget" renders 'kind: Deployment' 'kind: PodDisruptionBudget' --set replicas=1
check "one namespace: nothing cluster-wide" renders 'kind: Role$' 'kind: Cluster|kind: Service$' -f tests/chart/one-namespace.yaml
check "OpenShift: no user, no accounts of its own" renders 'serviceAccountName: operators' 'runAs(User|Group)|kind: (ServiceAccount|(Cluster)?Role)' -f tests/chart/openshift.yaml
check "labels of one's own do not break the selector" renders 'team: storage' 'must-not-win' -f tests/chart/everything.yaml
check "every setting arrives" renders 'registry.example.com/keeper:1.2.3' 'redis-replication-operator:0' -f tests/chart/everything.yaml
check "ServiceMonitor on request" renders 'kind: ServiceMonitor' nothing --set metrics.serviceMonitor.enabled=true
check "authentication: metrics over TLS only" renders 'containerPort: 8443' 'port: 8080' -f tests/chart/authentication.yaml
check "authentication: rights that are this operator's alone" renders "name: $ns-redis-replication-operator-metrics-reader" 'name: redis-replication-operator-metrics-' -f tests/chart/authentication.yaml
check "authentication: a service account without a namespace is refused" refuses namespace --set 'metrics.authentication.readers[0].kind=ServiceAccount,metrics.authentication.readers[0].name=x'
check "rights: no wildcards, no listing of Secrets" few_rights
check "the chart's CRD is the repository's" diff crds/redisreplications.yaml "$crd"
check "install.yaml is up to date" up_to_date manifests/install.yaml
check "Kustomize's install.yaml is up to date" up_to_date manifests/kustomize/base/install.yaml
check "Kustomize's monitoring.yaml is up to date" up_to_date manifests/kustomize/monitoring/monitoring.yaml --print-monitoring
check "Kustomize's rights for readers of metrics are up to date" up_to_date manifests/kustomize/monitoring-authenticated/rights.yaml --print-authentication
check "the charts' tables of values are up to date" charts/readme.py --check
check "the icon is icon.svg" grep -qx "icon: data:image/svg+xml;base64,$(base64 -w0 $chart/icon.svg)" $chart/Chart.yaml
check "a registry for all images" renders 'image: "mirror.example.com/redis-replication-operator:0' nothing --set global.imageRegistry=mirror.example.com
check "node labels for all pods" renders 'everywhere: "yes"' nothing --set-string global.nodeSelector.everywhere=yes
check "the CRD in the release: kept when it is removed" renders 'helm.sh/resource-policy: keep' nothing --set crds.install=true
check "the CRD in the release: not unless asked for" renders 'kind: Deployment' 'kind: CustomResourceDefinition'

install_dry_run() { sed "s/redis-replication-system/$ns/" manifests/install.yaml >"$tmp/install" && without_warning dry_run "$tmp/install"; }
pod_is_restricted() { # the operator's pod itself, which the restricted standard refuses where it only warns of a Deployment
  local spec
  spec=$(render --set serviceAccount.create=false -s templates/deployment.yaml | kubectl create --dry-run=client -o jsonpath='{.spec.template.spec}' -f -) &&
    echo "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"operator\"},\"spec\":$spec}" | without_warning dry_run - -n "$ns"
}
refuses_field() {
  if sed 's/^  replicas:/  replicaz:/' manifests/examples/quickstart.yaml | dry_run - -n "$ns" >"$tmp/refused" 2>&1; then return 1; fi
  grep replicaz "$tmp/refused"
}

variant() { # NAME HAS HAS-NOT
  kubectl kustomize "manifests/kustomize/$1" >"$tmp/variant-$1.yaml" && grep -qE "$2" "$tmp/variant-$1.yaml" && ! grep -nE "$3" "$tmp/variant-$1.yaml"
}
variant_dry_run() { sed "s/redis-replication-system/$ns/; s/\(name\|namespace\): redis$/\1: $ns/" "$tmp/variant-$1.yaml" >"$tmp/variant" && without_warning dry_run "$tmp/variant"; }

if command -v kubectl >/dev/null; then
  check "Kustomize: base" variant base 'kind: ClusterRole$' 'kind: NetworkPolicy'
  check "Kustomize: one namespace, nothing cluster-wide, and the pod's own namespace is watched" \
    variant namespaced 'fieldPath: metadata.namespace' 'kind: ClusterRole|redis-replication-system'
  check "Kustomize: high availability" variant high-availability 'requiredDuringScheduling.*$' '^        preferredDuringScheduling'
  check "Kustomize: monitoring" variant monitoring 'kind: PrometheusRule' 'namespace: default'
  check "Kustomize: monitoring with authentication" variant monitoring-authenticated 'bearerTokenFile' 'port: 8080$'
else echo "skip  Kustomize: there is no kubectl"; fi

if cluster_for "the API server's checks"; then
  check "the API server takes the CRD" without_warning kubectl apply --server-side --force-conflicts -f "$crd"
  kubectl wait --for=condition=Established --timeout=30s -f "$crd" >/dev/null || true
  restricted_namespace "$ns"
  check "the API server takes the chart" rendered_dry_run
  for values in tests/chart/*.yaml; do check "the API server takes the chart with ${values##*/}" rendered_dry_run -f "$values"; done
  check "the operator's pod is allowed under the restricted standard" pod_is_restricted
  check "the API server takes install.yaml" install_dry_run
  for name in base namespaced high-availability; do check "the API server takes Kustomize's $name" variant_dry_run "$name"; done
  for example in manifests/examples/*.yaml; do check "the API server takes ${example##*/}" without_warning dry_run "$example" -n "$ns"; done
  check "the API server refuses a misspelt field" refuses_field
fi

summary
