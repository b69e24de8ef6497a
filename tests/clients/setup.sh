#!/usr/bin/env bash
# setup.sh [CLIENT...]: installs what the clients need (Debian, as root) and builds them outside of the checkout.
set -euo pipefail
cd "$(dirname "$0")"
cache=${CLIENTS_CACHE:-$HOME/.cache/redis-replication-operator/clients}
[ $# -gt 0 ] || set -- jedis lettuce redis-py node-redis ioredis go-redis redis-rs

missing=$(for pair in java:default-jdk-headless mvn:maven node:nodejs npm:npm; do
  command -v "${pair%:*}" >/dev/null || echo "${pair#*:}"
done)
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=" python3-venv"
# shellcheck disable=SC2086
[ -z "${missing// /}" ] || { apt-get update -qq; apt-get install -y -qq --no-install-recommends $missing; }
for tool in go cargo; do command -v $tool >/dev/null || { echo "needs $tool in the PATH" >&2; exit 1; }; done

build() {
  case $1 in
  jedis | lettuce) mvn -q -B dependency:copy-dependencies ;;
  redis-py) python3 -m venv venv && venv/bin/pip -q install --disable-pip-version-check --require-hashes -r requirements.txt ;;
  node-redis | ioredis) npm ci --silent --no-audit --no-fund ;;
  go-redis) go build -o client . ;;
  redis-rs) CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target} cargo build --quiet --locked --release &&
    install "${CARGO_TARGET_DIR:-target}/release/client" client ;;
  *) echo "no client $1" >&2; return 1 ;;
  esac
}

for client; do
  mkdir -p "$cache/$client"
  cp -r "$client/." "$cache/$client"
  (cd "$cache/$client" && build "$client")
  echo "built $client"
done
