#!/usr/bin/env bash
# Holds the documents against the repository: commands, paths, values, fields, annotations, links, both languages. Needs
# python3, and no cluster; on one, tests/readme-live.sh runs the commands that the README marks.
set -euo pipefail
source "$(dirname "$0")/checks.sh"
trap 'rm -rf "$tmp"' EXIT

marked() { python3 tests/docs/markdown.py "$1" quickstart; }
same_in_both() { diff <(marked README.md) <(marked README.zh-CN.md); }
shell_reads_them() { bash -n <(marked README.md | sed -n 's/^run //p'); }
# A kubectl that says whatever it is told to, for the runner of these commands.
with_kubectl() { # CODE WORDS... : of each call of it but those that the runner makes for itself
  mkdir -p "$tmp/bin"
  printf '#!/bin/sh\ncase "$1" in config | create | label) exit 0 ;; esac\necho "%s"; exit %s\n' "${*:2}" "$1" >"$tmp/bin/kubectl"
  chmod +x "$tmp/bin/kubectl"
  PATH=$tmp/bin:$PATH KUBECONFIG=$tmp/none tests/readme-live.sh >"$tmp/ran" 2>&1 || { cat "$tmp/ran"; return 1; }
}
says() { ! with_kubectl "${@:2}" && grep "readme: .*$1" "$tmp/ran"; } # WORDS CODE WORDS...

# Two checkouts and a shared folder with a dependency and a package of the workspace, each compiled once.
folder_of() { HOME=$tmp/home "$tmp/$1/tests/target.sh" 2>/dev/null; }
only_dependencies_are_shared() {
  local shared=$tmp/home/.cache/redis-replication-operator/target/debug one=0123456789abcdef two=fedcba9876543210 first
  mkdir -p "$shared"/{.fingerprint/{serde-$one,kubectl-rr-$two},build,deps} "$tmp"/{a,b}/tests
  touch "$shared"/deps/lib{serde-$one,kubectl_rr-$two}.rlib
  for checkout in a b; do cp Cargo.lock "$tmp/$checkout"; cp tests/target.sh "$tmp/$checkout/tests"; done
  first=$(folder_of a)
  diff <(cd "$first/debug" && find . -name '*-*' | sort) <(printf './%s\n' .fingerprint/serde-$one deps/libserde-$one.rlib) &&
    [ "$first" != "$(folder_of b)" ] && [ "$first" = "$(folder_of a)" ] &&
    rm -r "$tmp/a" && folder_of b && [ ! -e "$first" ]
}
nothing_to_share() { # on a fresh machine, and beside a build that has just begun
  rm -rf "${tmp:?}/home" && folder_of b &&
    mkdir -p "$tmp"/home/.cache/redis-replication-operator/target/debug/.fingerprint && folder_of b
}

check "what is wrong is noticed" python3 tests/docs/check.py --self-test
check "the documents say what is there" python3 tests/docs/check.py
check "the README marks commands to be run" marked README.md
check "both languages mark the same" same_in_both
check "a shell reads these commands" shell_reads_them
check "their runner takes them when all goes well" with_kubectl 0 Healthy OK world SwitchoverCompleted
check "their runner notices a command that fails" says "that ended with 7" 7 Healthy OK world SwitchoverCompleted
check "their runner notices a value that is lost" says "did not print 'world'" 0 Healthy OK nothing SwitchoverCompleted
check "a release is made of its tag" tests/release.sh --self-test
check "checkouts share compiled dependencies, and nothing else" only_dependencies_are_shared
check "a checkout has a build folder where there is nothing to share" nothing_to_share
summary
