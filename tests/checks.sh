# shellcheck shell=bash
# What the scripts that check charts and packages share. To be sourced; goes to the top of the repository.
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$PATH:$HOME/.cache/redis-replication-cluster/bin
tmp=$(mktemp -d) passed=0 failed=0 made=

check() { # NAME COMMAND... : it succeeds
  if "${@:2}" >"$tmp/out" 2>&1; then passed=$((passed + 1)); echo "ok    $1"
  else failed=$((failed + 1)); echo "FAIL  $1"; head -30 "$tmp/out" | sed 's/^/      /'; fi
}
refuses() { # WORDS HELM-ARGUMENTS... : rendering fails, and the message has these words
  if render "${@:2}" >"$tmp/refused" 2>&1; then echo "it was rendered"; return 1; fi
  grep -iE "$1" "$tmp/refused" || { cat "$tmp/refused"; return 1; }
}
renders() { # HAS HAS-NOT HELM-ARGUMENTS... : it renders, with the one pattern and without the other (or `nothing`)
  render "${@:3}" >"$tmp/rendered" && grep -qE "$1" "$tmp/rendered" && { [ "$2" = nothing ] || ! grep -nE "$2" "$tmp/rendered"; }
}
cluster_for() { # WHAT : whether there is a cluster for it; says so if not
  if [ -z "${KUBECONFIG:-}" ]; then echo "skip  $1: KUBECONFIG is not set"
  elif ! command -v kubectl >/dev/null; then echo "skip  $1: there is no kubectl"
  elif ! kubectl version --request-timeout=5s >/dev/null 2>&1; then echo "skip  $1: no cluster answers at KUBECONFIG"
  else return 0; fi
  return 1
}
restricted_namespace() { # NAME : in which only restricted pods may run
  made=$1
  kubectl create namespace "$1" >/dev/null
  kubectl label namespace "$1" pod-security.kubernetes.io/{enforce,warn}=restricted >/dev/null
  for _ in $(seq 50); do kubectl -n "$1" get serviceaccount default >/dev/null 2>&1 && break; sleep 0.2; done
}
leave() { # what a script does when it ends: the namespace that it made goes, and its files
  [ -z "$made" ] || kubectl delete namespace "$made" --ignore-not-found --wait=false >/dev/null || true
  rm -rf "$tmp"
}
dry_run() { kubectl apply --server-side --force-conflicts --dry-run=server -f "$@"; }
without_warning() {
  "$@" >"$tmp/said" 2>&1 || { cat "$tmp/said"; return 1; }
  ! grep -i warning "$tmp/said"
}
rendered_dry_run() { render "$@" >"$tmp/rendered" && without_warning dry_run "$tmp/rendered"; }
summary() { echo "$passed passed, $failed failed"; [ "$failed" = 0 ]; }
