#!/usr/bin/env bash
# run.sh [CLIENT...]: each client writes while the master's Redis is killed and while the master hands over, and has to go
# on by itself. Needs the operator on the cluster that KUBECONFIG names, Services that this machine reaches, and setup.sh.
# ROUNDS of each (3), DURATION of one (30 seconds), WAIT: replicas that must confirm every write (0).
set -euo pipefail
cd "$(dirname "$0")"
cache=${CLIENTS_CACHE:-$HOME/.cache/redis-replication-operator/clients}
[ $# -gt 0 ] || set -- jedis lettuce redis-py node-redis ioredis go-redis redis-rs
ns=clients-$$ rr=quickstart tmp=$(mktemp -d) running=
k() { kubectl -n "$ns" "$@"; }
trap '[ -z "$running" ] || kill "$running" 2>/dev/null || true; rm -r "$tmp"; kubectl delete namespace "$ns" --wait=false >/dev/null' EXIT

command_of() {
  case $1 in
  jedis | lettuce) echo "java -cp target/dependency/* Client.java" ;;
  redis-py) echo "venv/bin/python client.py" ;;
  node-redis | ioredis) echo "node client.js" ;;
  *) echo ./client ;;
  esac
}
now() { date +%s%3N; }
master() { k get rr $rr -o jsonpath='{.status.master}'; }
until_true() { for _ in {1..240}; do ! "$@" || return 0; sleep 0.5; done; echo "in vain: $*" >&2; return 1; }
moved_from() { [ "$(master)" != "$1" ]; }
is_writing() { grep -qs '"at"' "$tmp/out" || ! kill -0 "$running"; }
healthy() { k wait rr/$rr --for=condition=Ready --timeout=3m >/dev/null && sleep 3; }
kill_master() {
  local node id
  node=$(k get pod "$1" -o jsonpath='{.spec.nodeName}')
  id=$(k get pod "$1" -o jsonpath='{.status.containerStatuses[?(@.name=="redis")].containerID}')
  sed "s/NODE/$node/; s/CONTAINER/${id##*/}/" hand.yaml | k create -f - >/dev/null
}

round() {
  local client=$1 former crash switchover load
  healthy
  rm -f "$tmp/out" # is_writing must not see what the last one wrote
  load=$(cut -d' ' -f1 /proc/loadavg)
  # shellcheck disable=SC2046,SC2086
  (cd "$cache/$client" && set -f && exec env SECONDS="${DURATION:-30}" timeout $((${DURATION:-30} + 60)) $(command_of "$client")) >"$tmp/out" 2>"$tmp/err" &
  running=$!
  until_true is_writing
  former=$(master) crash=$(now)
  kill_master "$former"
  until_true moved_from "$former"
  healthy
  former=$(master) switchover=$(now)
  k annotate rr $rr redis.replication.dev/switchover-to=any >/dev/null
  until_true moved_from "$former"
  wait "$running" || { cat "$tmp/err" >&2; return 1; }
  running=
  ./report.py round "$tmp/out" "$crash" "$switchover" "$load" | tee -a "$tmp/rounds" ||
    { echo "$client $load: killed at $crash, switchover at $switchover" >&2; cat "$tmp/out" "$tmp/err" >&2; return 1; }
}

kubectl create namespace "$ns" >/dev/null
kubectl label namespace "$ns" pod-security.kubernetes.io/enforce=privileged >/dev/null
k apply -f ../../manifests/examples/quickstart.yaml >/dev/null
until_true k get svc/$rr-master secret/$rr-auth >/dev/null 2>&1
k get secret $rr-auth -o jsonpath='{.data.password}' | base64 -d >"$tmp/password"
REDIS_HOST=$(k get svc $rr-master -o jsonpath='{.spec.clusterIP}')
export REDIS_HOST REDIS_PASSWORD_FILE=$tmp/password
for client; do
  for _ in $(seq "${ROUNDS:-3}"); do round "$client"; done
done
./report.py table "$tmp/rounds"
