#!/usr/bin/env bash
# Whether a tag may become a release: `release.sh vX.Y.Z` prints `version=X.Y.Z` if Cargo.toml, both charts and CHANGELOG.md
# say so too; `release.sh --notes vX.Y.Z` prints that version's part of CHANGELOG.md; `release.sh --self-test` tests both.
set -euo pipefail
root=${RELEASE_ROOT:-$(cd "$(dirname "$0")/.." && pwd)}

die() { echo "release: $*" >&2; exit 1; }

notes() { # VERSION
  awk -v head="## [$1]" 'index($0, "## [") == 1 {on = index($0, head) == 1; next} on' "$root/CHANGELOG.md"
}

check() { # TAG
  local version=${1#v} file found
  [[ $1 =~ ^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] || die "$1 is not vX.Y.Z"
  found=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)
  [ "$found" = "$version" ] || die "Cargo.toml has version $found, the tag says $version"
  for file in "$root"/charts/*/Chart.yaml; do
    found=$(sed -n 's/^version: *//p' "$file")
    [ "$found" = "$version" ] || die "${file#"$root/"} has version $found, the tag says $version"
  done
  [[ $(notes "$version") =~ [^[:space:]] ]] || die "CHANGELOG.md has nothing under '## [$version]'"
  echo "version=$version"
}

self_test() {
  local tmp; tmp=$(mktemp -d); trap "rm -rf '$tmp'" EXIT
  mkdir -p "$tmp/charts/one"
  printf 'version = "1.2.3"\n' >"$tmp/Cargo.toml"
  echo "version: 1.2.3" >"$tmp/charts/one/Chart.yaml"
  printf '## [Unreleased]\n\nnot this\n\n## [1.2.3] - 2026-01-01\n\nthis\n\n## [1.2.2]\n\nnor this\n' >"$tmp/CHANGELOG.md"
  try() { RELEASE_ROOT=$tmp "$0" "$@" 2>&1 || true; }
  expect() { [[ $2 == *"$1"* ]] || die "self-test: expected '$1', got '$2'"; }
  expect "version=1.2.3" "$(try v1.2.3)"
  expect "is not vX.Y.Z" "$(try 1.2.3)"
  expect "Cargo.toml has version 1.2.3" "$(try v1.2.4)"
  [ "$(try --notes v1.2.3 | tr -d '\n')" = this ] || die "self-test: the notes are $(try --notes v1.2.3)"
  echo "version: 1.2.2" >"$tmp/charts/one/Chart.yaml"
  expect "charts/one/Chart.yaml has version 1.2.2" "$(try v1.2.3)"
  echo "version: 1.2.3" >"$tmp/charts/one/Chart.yaml"
  printf '## [1.2.3]\n\n## [1.2.2]\n\nthat\n' >"$tmp/CHANGELOG.md"
  expect "nothing under" "$(try v1.2.3)"
}

case ${1:-} in
  --self-test) self_test ;;
  --notes) [ $# = 2 ] || die "--notes of which tag?"; notes "${2#v}" ;;
  v*|[0-9]*) check "$1" ;;
  *) sed -n '2,3s/^# //p' "$0"; exit 2 ;;
esac
