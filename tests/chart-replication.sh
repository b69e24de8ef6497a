#!/usr/bin/env bash
# Checks the chart redis-replication: what it renders, what it refuses, and, with KUBECONFIG set to a test cluster that
# answers and has the CRD, whether the API server takes it (a dry run in a namespace that comes and goes).
set -euo pipefail
source "$(dirname "$0")/checks.sh"
chart=charts/redis-replication ns=redis-replication-chart-$$
trap leave EXIT
render() { helm template cache "$chart" --namespace "$ns" "$@"; }
values=tests/chart-replication

check "helm lint --strict" helm lint --strict "$chart"
for file in "$values"/*.yaml; do check "lint with ${file##*/}" helm lint --strict "$chart" -f "$file"; done
check "the icon is icon.svg" grep -qx "icon: data:image/svg+xml;base64,$(base64 -w0 $chart/icon.svg)" $chart/Chart.yaml

check "a misspelt key is refused" refuses "replicas'? (is )?not allowed" --set replicas=2
check "a misspelt inner key is refused" refuses "replicacount" --set replica.replicacount=2
check "a wrong type is refused" refuses "replicaCount.*(integer|got string)" --set-string replica.replicaCount=two
check "too many replicas are refused" refuses "replicaCount" --set replica.replicaCount=9
check "a duration without a unit is refused" refuses "unreachableAfter" --set-string failover.unreachableAfter=1
check "a quantity that is none is refused" refuses "memory" --set resources.limits.memory=lots
check "a size that is none is refused" refuses "size" --set persistence.size=lots
check "an unknown mode is refused" refuses "mode" --set persistence.mode=aof
check "a name that is too long is refused" refuses "set fullnameOverride" --set nameOverride=a234567890123456789012345678901234567890
check "being part of another chart is not refused" render --set global.anything=1

# What Bitnami's chart can be told and this one can't: one line that says what to use instead.
instead() { # VALUE WORDS
  refuses "^Error: .*${1%%=*}: $2" --set "$1"
}
check "Sentinel: use the Service of the master" instead sentinel.enabled=true "there is no Sentinel.*Service of the master"
check "no password: there always is one" instead auth.enabled=false ".*always has a password"
check "TLS: not yet" instead tls.enabled=true ".*not offered yet"
check "what finds the exporters: the operator's chart" instead metrics.serviceMonitor.enabled=true ".*redis-replication-operator"
check "a parent's password: auth.password" instead global.redis.password=x "use auth.password"
for key in persistence.size resources.limits.cpu nodeSelector.a podLabels.a priorityClassName; do
  for role in master replica; do check "$role.$key: without $role" refuses "^Error: .*$role.${key%%.*}: .*use ${key%%.*} without $role" --set "$role.$key=1"; done
done
check "sidecars: podOverrides" refuses "master.sidecars: use podOverrides" --set master.sidecars[0].name=x
check "autoscaling: the scale subresource" instead replica.autoscaling.enabled=true ".*scale subresource"
check "an address of the load balancer: annotations" instead master.service.loadBalancerIP=192.0.2.1 "use master.service.annotations"
check "appendonly: persistence.mode" refuses "appendonly.*persistence.mode" --set commonConfiguration="appendonly yes"
check "two passwords are refused" refuses "one of them" --set auth.password=a,auth.existingSecret=b
every_key_is_let_through() { # by the schema, to where the message is
  local keys key out; keys=$(printf '{{- define "keys" }}{{ include "redis.notHere" . }}{{ end }}{{ include "keys" . }}' >"$tmp/chart/templates/NOTES.txt" &&
    helm install cache "$tmp/chart" --dry-run=client --no-hooks | sed -n '/^NOTES:/,$p' | sed -nE 's/^([A-Za-z.]+): ".*/\1/p')
  [ "$(wc -l <<<"$keys")" -gt 90 ] || { echo "only $keys"; return 1; }
  for key in $keys; do
    out=$(render --set "$key=1" 2>&1) && { echo "$key was rendered"; return 1; }
    grep -q "$key: " <<<"$out" || { echo "$key: $out"; return 1; }
  done
}
cp -r $chart "$tmp/chart"
check "every key of Bitnami's gets its message" every_key_is_let_through

check "defaults: three members on volumes, a password that the operator makes" renders '^  replicas: 3$' 'kind: Secret|  auth:|failover|durability|config:'
check "the Services are called as Bitnami's" renders 'name: cache-redis$' nothing
check "a release with redis in its name is called so" sh -c "helm template my-redis $chart | grep -x '  name: my-redis'"
check "replicaCount counts the replicas besides the master" renders '^  replicas: 5$' nothing --set replica.replicaCount=4
check "one member without a disk" renders '^  replicas: 1$' 'persistence|kind: Pod' -f $values/memory.yaml
check "what was for Bitnami's chart, and off" renders 'secretName: my-password' 'nodePort|clusterIP' -f $values/bitnami.yaml
check "every setting arrives" renders 'image: "mirror.example.com/valkey/valkey:8.1"' 'must-not-win|docker.io' -f $values/everything.yaml
check "an exporter on request only" renders 'kind: RedisReplication' 'metrics:'
check "the exporter's image from the registry for all" renders 'image: "mirror.example.com/oliver006/redis_exporter:v1' nothing -f $values/everything.yaml
check "config wins over commonConfiguration" renders 'maxmemory: "104857600"' '64mb' -f $values/everything.yaml
check "a directive that is given twice keeps both" renders 'pubsub 32mb 8mb 60' nothing -f $values/everything.yaml
check "the password is in a Secret only" renders 'redis-password: czMgY3JldDog' 's3 cret' -f $values/everything.yaml
check "failover and durability on request" renders 'policy: Consistency' nothing -f $values/failover.yaml
check "numbers are written as they were" renders 'cpu: "0.1"' 'e\+' -f $values/everything.yaml --set config.hash-max-listpack-entries=1000000,config.active-defrag-threshold-upper=99.5
check "a digest instead of a tag" renders "redis@sha256:$(printf '0%.0s' {1..64})\"" 'redis:8' --set image.digest="sha256:$(printf '0%.0s' {1..64})"

refuses_field() {
  render --set podOverrides=null | sed 's/^  replicas:/  replicaz:/' >"$tmp/wrong"
  if dry_run "$tmp/wrong" >"$tmp/refused" 2>&1; then return 1; fi
  grep replicaz "$tmp/refused"
}
if cluster_for "the API server's checks"; then
  check "the API server takes the CRD" without_warning kubectl apply --server-side --force-conflicts -f crds/redisreplications.yaml
  kubectl wait --for=condition=Established --timeout=30s -f crds/redisreplications.yaml >/dev/null || true
  restricted_namespace "$ns"
  check "the API server takes the defaults" rendered_dry_run
  for file in "$values"/*.yaml; do
    check "the API server takes ${file##*/}" rendered_dry_run -f "$file"
  done
  check "the API server refuses a misspelt field" refuses_field
fi
summary
