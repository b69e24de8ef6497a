#!/usr/bin/env bash
# A real Prometheus (Debian's, as a process) scrapes the operator and a replication with exporters on the cluster that
# KUBECONFIG names, and is asked everything that the dashboard and the alerts ask. Takes under a minute.
#
#   tests/monitoring-live.sh [PICTURE]    also draws the dashboard from what was measured, e.g. docs/dashboard.svg
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$(tests/monitoring/prometheus.sh):$PATH:$HOME/.cache/redis-replication-cluster/bin
ns=redis-replication-monitoring-$$ tmp=$(mktemp -d) started=$SECONDS pids=()
finish() {
  local status=$?
  [ $status = 0 ] || tail -n 5 "$tmp"/*.log >&2 || true
  [ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
  kubectl delete namespace "$ns" --ignore-not-found --wait=false >/dev/null || true
  rm -rf "$tmp"
}
trap finish EXIT
say() { echo "monitoring: $* (after $((SECONDS - started)) s)"; }
fail() { echo "monitoring: $*" >&2; exit 1; }
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
until_true() { # SECONDS WHAT COMMAND...
  local end=$((SECONDS + $1)) what=$2; shift 2
  until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $end ] || fail "gave up waiting until $what"; sleep 0.3; done
}
master() { kubectl -n "$ns" get rr shop -o jsonpath='{.status.master}'; }

kubectl create namespace "$ns" >/dev/null
kubectl label namespace "$ns" pod-security.kubernetes.io/enforce=restricted >/dev/null
kubectl apply -n "$ns" --server-side -f tests/monitoring/shop.yaml >/dev/null
proxy=127.0.0.1:$(free_port) prometheus=127.0.0.1:$(free_port)
kubectl proxy --port="${proxy#*:}" >"$tmp/proxy.log" 2>&1 & pids+=($!)
sed "s,TARGETS,$tmp,; s,RULES,$PWD/charts/redis-replication-operator/files/rules.yaml," \
  tests/monitoring/prometheus.yaml >"$tmp/prometheus.yaml"
kubectl -n "$ns" wait rr/shop --for=condition=Ready --timeout=2m >/dev/null
say "the replication is ready"
kubectl get pods -A -o json | tests/monitoring/targets.py "$proxy" "$ns" "$tmp"
promtool check config "$tmp/prometheus.yaml" >"$tmp/config.log"
prometheus --config.file="$tmp/prometheus.yaml" --storage.tsdb.path="$tmp/data" --web.listen-address="$prometheus" \
  >"$tmp/prometheus.log" 2>&1 & pids+=($!)
until_true 20 "Prometheus is ready" curl -sf "http://$prometheus/-/ready"; began=$SECONDS

# Something to see: writes, a switchover and a failover under them.
in_master() { kubectl -n "$ns" exec "$(master)" -c redis -- sh -c "$1"; }
load() { # until the time is up
  in_master 'timeout 5 redis-benchmark -a "$(cat /etc/redis-auth/password)" -t set -c 1 -d 100 -r 100000 -n 10000000 -q' >>"$tmp/load.log" 2>&1 || true
}
changed_from() { [ "$(master)" != "$1" ]; }
load; before=$(master)
kubectl -n "$ns" annotate rr shop redis.replication.dev/switchover-to=any >/dev/null
until_true 30 "the switchover is over" changed_from "$before"
load; before=$(master)
in_master 'kill -9 $(cat /run/redis/server.pid)' >>"$tmp/load.log" 2>&1 || true
until_true 30 "the failover is over" changed_from "$before"
load
kubectl -n "$ns" wait rr/shop --for=condition=Ready --timeout=1m >/dev/null
say "writes, a switchover, a failover"

python3 tests/monitoring/check.py "http://$prometheus" "$ns" shop 30
if [ $# -gt 0 ]; then
  python3 tests/monitoring/picture.py "http://$prometheus" "$ns" shop $((SECONDS - began)) >"$tmp/picture"
  mv "$tmp/picture" "$1"; say "drew $1"
fi
say "all is as it should be"
