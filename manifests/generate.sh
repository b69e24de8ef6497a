#!/usr/bin/env bash
# Makes what is derived from other files: the chart's copy of the CRD, install.yaml from the chart, and the copy of it that
# the Kustomize variants stand on (Kustomize reads nothing above the directory that it is pointed at).
#   manifests/generate.sh           write all
#   manifests/generate.sh --print   only print install.yaml, from the files as they are; --print-monitoring the objects for Prometheus,
#                                   --print-authentication the rights for its tokens
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:$HOME/.cache/redis-replication-cluster/bin
chart=charts/redis-replication-operator namespace=redis-replication-system

without_helm() { sed -e '/^# Source: /d' -e '/helm\.sh\/chart: /d' -e '/app\.kubernetes\.io\/managed-by: Helm$/d'; } # what only Helm needs

install() {
  cat <<EOF
# The operator and all that it needs, for those who do without Helm:
#   kubectl apply --server-side -f install.yaml
# Made from $chart by manifests/generate.sh: change the chart, not this file.
apiVersion: v1
kind: Namespace
metadata:
  name: $namespace
  labels:
    pod-security.kubernetes.io/enforce: restricted
EOF
  # Without what only Helm needs, and without blank lines between documents, which Helm's versions set differently.
  helm template redis-replication-operator "$chart" --namespace "$namespace" --include-crds |
    without_helm |
    awk '/^[ \t]*$/ { blank++; next } /^---$/ { blank = 0; cut = 1; next }
         cut { print "---"; cut = blank = 0 } { while (blank) { print ""; blank-- } print }'
}

# What the Prometheus operator and Grafana's sidecar read; without the Service, which install.yaml has.
monitoring() {
  echo "# Made from $chart by manifests/generate.sh: change the chart, not this file."
  helm template redis-replication-operator "$chart" --namespace "$namespace" -s templates/metrics.yaml --set \
    metrics.serviceMonitor.enabled=true,metrics.podMonitor.enabled=true,metrics.prometheusRule.enabled=true,metrics.dashboard.enabled=true |
    without_helm |
    awk -v RS='---\n' 'NR > 1 && !/\nkind: Service\n/ { sub(/\n+$/, "\n"); printf "---\n%s", $0 }'
}

# Who may ask whether somebody may read the metrics, and who may read them.
authentication() {
  echo "# Made from $chart by manifests/generate.sh: change the chart, not this file."
  helm template redis-replication-operator "$chart" --namespace "$namespace" -s templates/metrics-authentication.yaml \
    --set metrics.authentication.enabled=true |
    without_helm | sed '/^$/d'
}

case ${1:-} in
--print) install; exit ;;
--print-monitoring) monitoring; exit ;;
--print-authentication) authentication; exit ;;
esac
cp crds/redisreplications.yaml "$chart/crds/redisreplications.yaml"
install >manifests/install.yaml.new
mv manifests/install.yaml.new manifests/install.yaml
cp manifests/install.yaml manifests/kustomize/base/install.yaml
monitoring >manifests/kustomize/monitoring/monitoring.yaml.new
mv manifests/kustomize/monitoring/monitoring.yaml.new manifests/kustomize/monitoring/monitoring.yaml
authentication >manifests/kustomize/monitoring-authenticated/rights.yaml.new
mv manifests/kustomize/monitoring-authenticated/rights.yaml.new manifests/kustomize/monitoring-authenticated/rights.yaml
