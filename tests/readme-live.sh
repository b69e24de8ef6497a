#!/usr/bin/env bash
# Runs the commands that the README marks, as they stand there, on the cluster that KUBECONFIG names and where the operator
# is installed, in a namespace that comes and goes. Each block must print what its mark says.
#
#   tests/readme-live.sh [FILE [MARK]]    README.md and quickstart unless said otherwise
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:$HOME/.cache/redis-replication-cluster/bin
: "${KUBECONFIG:?must name a cluster with the operator}"
file=${1:-README.md} mark=${2:-quickstart} ns=redis-replication-readme-$$ tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
finish() {
  local status=$?
  [ $status = 0 ] || kubectl get rr,pods,events || true
  kubectl delete namespace "$ns" --ignore-not-found --wait=false >/dev/null || true
  rm -rf "$tmp"
}
fail() { echo "readme: $*" >&2; exit 1; }
run() { # as a reader does, all in one shell
  local status=0 end=$((SECONDS + 10))
  echo "\$ $1"
  eval "$1" >"$tmp/said" 2>&1 </dev/null || status=$?
  # a reader is slower than kube-proxy, which takes up to a second where other endpoints have just changed: until then the
  # Service can lead to the former master
  while [[ $1 == *redis-cli* && $status != 0 && $SECONDS -lt $end ]]; do
    sleep 0.3; status=0; eval "$1" >"$tmp/said" 2>&1 </dev/null || status=$?
  done
  sed 's/^/  /' "$tmp/said"; cat "$tmp/said" >>"$tmp/block"
  case $1 in *'kill -9'*) return ;; esac # it may be cut off: its own container ends
  [ $status = 0 ] || fail "that ended with $status"
}

python3 tests/docs/markdown.py "$file" "$mark" >"$tmp/marked" || fail "$file marks nothing as $mark"
# The commands name no namespace, so they go where the context points: in a kubeconfig of their own.
(umask 077 && kubectl config view --minify --flatten --raw >"$tmp/kubeconfig")
export KUBECONFIG=$tmp/kubeconfig
trap finish EXIT
kubectl create namespace "$ns" >/dev/null
kubectl label namespace "$ns" pod-security.kubernetes.io/enforce=restricted >/dev/null
kubectl config set-context --current --namespace="$ns" >/dev/null

: >"$tmp/block"
while IFS= read -r -u 3 line; do
  case $line in
  'run '*) run "${line#run }" ;;
  'prints '*) grep -qF -- "${line#prints }" "$tmp/block" || fail "these commands did not print '${line#prints }'"; : >"$tmp/block" ;;
  esac
done 3<"$tmp/marked"
echo "readme: all of $mark in $file does what it says"
