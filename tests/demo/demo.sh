#!/usr/bin/env bash
# demo.sh — watch a failover: on the cluster that KUBECONFIG names, with the operator installed.
#   demo.sh make    first start the cluster of CLUSTER and install the operator, through make, and print how long each step takes
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
  step "the operator's image (compiled the first time: 5 to 10 minutes)" "$@" "image-${CLUSTER:-local}"
  step "the demo program (compiled the first time: 3 to 5 minutes)" cargo build --locked --example demo
  step "the installation of the operator" "$@" install
fi
step "the demo" cargo run --locked --quiet --example demo
[ $# = 0 ] || echo "demo: $SECONDS s in total" >&2
