#!/usr/bin/env bash
# demo.sh — watch a failover: on the cluster that KUBECONFIG names, with the operator installed (make demo does it all).
set -euo pipefail
cd "$(dirname "$0")/../.."
exec cargo run --locked --quiet --example demo
