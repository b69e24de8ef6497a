#!/usr/bin/env bash
# Checks the chart, the plain manifests and the examples. Needs helm; installs no tools.
# With KUBECONFIG set to a test cluster that answers, the API server checks everything too: the CRD is installed or
# updated there and stays; a namespace under the restricted Pod Security Standard comes and goes; all else is a dry run.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:$HOME/.cache/redis-replication-cluster/bin
chart=charts/redis-replication-operator; crd=$chart/crds/redisreplications.yaml ns=redis-replication-chart-$$
tmp=$(mktemp -d) passed=0 failed=0 used_cluster=
finish() {
  [ -z "$used_cluster" ] || kubectl delete namespace "$ns" --ignore-not-found --wait=false >/dev/null || true
  rm -rf "$tmp"
}
trap finish EXIT

check() { # NAME COMMAND... : it succeeds
  if "${@:2}" >"$tmp/out" 2>&1; then passed=$((passed + 1)); echo "ok    $1"
  else failed=$((failed + 1)); echo "FAIL  $1"; head -30 "$tmp/out" | sed 's/^/      /'; fi
}
render() { helm template redis-replication-operator "$chart" --namespace "$ns" "$@"; }
refuses() { # WORDS HELM-ARGUMENTS... : rendering fails, and the message has these words
  if render "${@:2}" >"$tmp/refused" 2>&1; then echo "it was rendered"; return 1; fi
  grep -iE "$1" "$tmp/refused" || { cat "$tmp/refused"; return 1; }
}
renders() { # HAS HAS-NOT HELM-ARGUMENTS... : it renders, with the one pattern and without the other (or `nothing`)
  render "${@:3}" >"$tmp/rendered" && grep -qE "$1" "$tmp/rendered" && { [ "$2" = nothing ] || ! grep -nE "$2" "$tmp/rendered"; }
}
up_to_date() { manifests/generate.sh --print | diff manifests/install.yaml - || { echo "run manifests/generate.sh"; false; }; }
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

check "defaults: two replicas, all namespaces" renders '^  replicas: 2$' 'kind: NetworkPolicy|kind: ServiceMonitor'
check "defaults: a PodDisruptionBudget" renders 'kind: PodDisruptionBudget' nothing
check "one replica: no PodDisruptionBudget" renders 'kind: Deployment' 'kind: PodDisruptionBudget' --set replicas=1
check "one namespace: nothing cluster-wide" renders 'kind: Role$' 'kind: Cluster|kind: Service$' -f tests/chart/one-namespace.yaml
check "OpenShift: no user, no accounts of its own" renders 'serviceAccountName: operators' 'runAs(User|Group)|kind: (ServiceAccount|(Cluster)?Role)' -f tests/chart/openshift.yaml
check "labels of one's own do not break the selector" renders 'team: storage' 'must-not-win' -f tests/chart/everything.yaml
check "every setting arrives" renders 'registry.example.com/keeper:1.2.3' 'redis-replication-operator:0' -f tests/chart/everything.yaml
check "ServiceMonitor on request" renders 'kind: ServiceMonitor' nothing --set metrics.serviceMonitor.enabled=true
check "rights: no wildcards, no listing of Secrets" few_rights
check "the chart's CRD is the repository's" diff crds/redisreplications.yaml "$crd"
check "install.yaml is up to date" up_to_date

dry_run() { kubectl apply --server-side --force-conflicts --dry-run=server -f "$@"; }
without_warning() {
  "$@" >"$tmp/said" 2>&1 || { cat "$tmp/said"; return 1; }
  ! grep -i warning "$tmp/said"
}
rendered_dry_run() { render "$@" >"$tmp/rendered" && without_warning dry_run "$tmp/rendered"; }
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

if [ -z "${KUBECONFIG:-}" ]; then echo "skip  the API server's checks: KUBECONFIG is not set"
elif ! command -v kubectl >/dev/null; then echo "skip  the API server's checks: there is no kubectl"
elif ! kubectl version --request-timeout=5s >/dev/null 2>&1; then echo "skip  the API server's checks: no cluster answers at KUBECONFIG"
else
  used_cluster=yes
  check "the API server takes the CRD" without_warning kubectl apply --server-side --force-conflicts -f "$crd"
  kubectl wait --for=condition=Established --timeout=30s -f "$crd" >/dev/null || true
  kubectl create namespace "$ns" >/dev/null
  kubectl label namespace "$ns" pod-security.kubernetes.io/{enforce,warn}=restricted >/dev/null
  for _ in $(seq 50); do kubectl -n "$ns" get serviceaccount default >/dev/null 2>&1 && break; sleep 0.2; done
  check "the API server takes the chart" rendered_dry_run
  for values in tests/chart/*.yaml; do check "the API server takes the chart with ${values##*/}" rendered_dry_run -f "$values"; done
  check "the operator's pod is allowed under the restricted standard" pod_is_restricted
  check "the API server takes install.yaml" install_dry_run
  for example in manifests/examples/*.yaml; do check "the API server takes ${example##*/}" without_warning dry_run "$example" -n "$ns"; done
  check "the API server refuses a misspelt field" refuses_field
fi

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
