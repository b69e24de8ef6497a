#!/usr/bin/env bash
# Checks the alerts with promtool, and the dashboard. Needs helm and python3; gets promtool from Debian's package.
set -euo pipefail
source "$(dirname "$0")/checks.sh"
trap 'rm -rf "$tmp"' EXIT
chart=charts/redis-replication-operator; rules=$PWD/$chart/files/rules.yaml
PATH=$(tests/monitoring/prometheus.sh):$PATH
render() { helm template redis-replication-operator "$chart" "$@"; }

test_rules() { sed "s,RULES,$1," tests/monitoring/rules.yaml >"$tmp/rules-test.yaml" && promtool test rules "$tmp/rules-test.yaml"; }
broken() { # NAME SED-EXPRESSION : with rules that are wrong in this way the tests fail
  check "noticed: $1" fails "$2"
}
fails() {
  sed "$1" "$rules" >"$tmp/broken.yaml"; ! cmp -s "$rules" "$tmp/broken.yaml" || { echo "nothing was changed"; return 1; }
  if test_rules "$tmp/broken.yaml" >"$tmp/said" 2>&1; then echo "the tests passed"; return 1; fi
  grep -q 'got:\|exp:' "$tmp/said" || { cat "$tmp/said"; return 1; }
}
the_charts_rules() { # are those of the file
  render -s templates/metrics.yaml --set metrics.prometheusRule.enabled=true |
    python3 tests/monitoring/spec.py PrometheusRule >"$tmp/chart-rules.yaml" && test_rules "$tmp/chart-rules.yaml"
}

check "promtool takes the rules" promtool check rules "$rules"
check "the alerts fire when they should, and only then" test_rules "$rules"
broken "an alert that waits too long" 's/for: 30s/for: 5m/'
broken "a threshold that is too low" 's/32 \* 1024 \* 1024/1024/'
broken "a threshold that is never reached" 's/> 0.9$/> 0.96/'
broken "a label that does not exist" 's/reason!="NotBlocked"/cause!="NotBlocked"/'
broken "an alert for a resource that is being made" 's/ and max by (namespace, name) (redis_replication_epoch) > 0//'
check "the chart's rules are those rules" the_charts_rules
check "the address of the handbook comes from the values" renders 'runbook_url: https://example.com/x/docs/operations.md#' nothing \
  --set metrics.prometheusRule.enabled=true,metrics.prometheusRule.runbookBase=https://example.com/x/
check "nothing of it unless asked for" renders 'kind: Deployment' 'kind: (PrometheusRule|PodMonitor|ServiceMonitor)|grafana_dashboard'
check "a PodMonitor for the exporters" renders 'port: metrics' nothing --set metrics.podMonitor.enabled=true
check "a PodMonitor for one namespace" renders 'matchNames: \[team\]' 'any: true' --set metrics.podMonitor.enabled=true,watchNamespace=team

the_dashboard() { # arrives in the ConfigMap as it is in its file
  render -s templates/metrics.yaml --set metrics.dashboard.enabled=true | sed -n 's/^    //p' | sed -n '/^{/,/^}/p' >"$tmp/dashboard.json" &&
    python3 -c 'import json, sys; a, b = (json.load(open(f)) for f in sys.argv[1:]); sys.exit(a != b)' "$tmp/dashboard.json" $chart/files/dashboard.json
}
metrics_of_ours() { # in the dashboard and the alerts are ones that docs/monitoring.md lists, and so the operator has
  local metric known; known=$(sed -n 's/^| `\(redis_replication_[a-z_]*\).*/\1/p' docs/monitoring.md)
  for metric in $(grep -ohE 'redis_replication_[a-z_]+' "$rules" $chart/files/dashboard.json | sort -u); do
    grep -qxE "$(sed -E 's/_(bucket|sum|count)$//' <<<"$metric")" <<<"$known" || { echo "$metric is not in docs/monitoring.md"; return 1; }
  done
}
check "the dashboard in the chart is the file" the_dashboard
check "the dashboard for Grafana's sidecar" renders 'grafana_dashboard: "1"' nothing --set metrics.dashboard.enabled=true
check "dashboard and alerts speak of metrics that there are" metrics_of_ours
summary
