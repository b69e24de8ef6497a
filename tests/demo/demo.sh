#!/usr/bin/env bash
# demo.sh — watch a failover: on the cluster that KUBECONFIG names, with the operator installed.
#   demo.sh make    first start the cluster of CLUSTER and install the operator, through make, and print how long each step takes
# DEMO is the program; without it cargo compiles one.
set -euo pipefail
cd "$(dirname "$0")/../.."

step() { # WORDS COMMAND...
  local began=$SECONDS
  echo "demo: $1 …" >&2
  "${@:2}"
  echo "demo: $((SECONDS - began)) s for ${1%% (*}" >&2
}

if [ $# -gt 0 ]; then
  step "the Kubernetes cluster (compiled the first time: 20 minutes)" "$@" cluster-up
  # One build for all of them: another selection of packages, or another profile, would compile the dependencies anew.
  step "the operator, the plugin and the demo program (compiled the first time: 5 to 10 minutes)" "$@" build
  step "the operator's image" "$@" "image-${CLUSTER:-local}"
  step "the installation of the operator" "$@" install
fi
program=(cargo run --locked --quiet --package redis-replication-demo)
[ -z "${DEMO:-}" ] || program=("$DEMO")
step "the demo" "${program[@]}"
[ $# = 0 ] || echo "demo: $SECONDS s in total" >&2
