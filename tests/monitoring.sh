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
check "nothing of it unless asked for" renders 'kind: Deployment' 'kind: (PrometheusRule|PodMonitor|ServiceMonitor|ConfigMap)'
check "a PodMonitor for the exporters" renders 'port: metrics' nothing --set metrics.podMonitor.enabled=true
check "a PodMonitor for one namespace" renders 'matchNames: \[team\]' 'any: true' --set metrics.podMonitor.enabled=true,watchNamespace=team
summary
