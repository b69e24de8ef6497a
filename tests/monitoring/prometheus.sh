#!/usr/bin/env bash
# prometheus.sh — prints a directory that has Debian's prometheus and promtool: this machine's, or the cached contents of the
# package. It is unpacked and not installed, for its installation would start a server.
set -euo pipefail
if command -v promtool >/dev/null && command -v prometheus >/dev/null; then dirname "$(command -v promtool)"; exit; fi
cache=${CLUSTER_CACHE:-$HOME/.cache/redis-replication-cluster}/prometheus
if [ ! -d "$cache" ]; then
  work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; chmod 755 "$work"
  # shellcheck disable=SC2015 # an old list of packages is the usual reason for a failure
  (cd "$work" && { apt-get -q download prometheus || { apt-get -q update && apt-get -q download prometheus; }; }) >"$work/log" 2>&1 ||
    { cat "$work/log" >&2; echo "prometheus.sh: cannot get Debian's package prometheus" >&2; exit 1; }
  mkdir -p "${cache%/*}"; dpkg-deb -x "$work"/prometheus_*.deb "$work/root"; mv "$work/root" "$cache"
fi
echo "$cache/usr/bin"
