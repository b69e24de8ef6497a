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

check "what is wrong is noticed" python3 tests/docs/check.py --self-test
check "the documents say what is there" python3 tests/docs/check.py
check "the README marks commands to be run" marked README.md
check "both languages mark the same" same_in_both
check "a shell reads these commands" shell_reads_them
check "their runner takes them when all goes well" with_kubectl 0 Healthy OK world SwitchoverCompleted
check "their runner notices a command that fails" says "that ended with 7" 7 Healthy OK world SwitchoverCompleted
check "their runner notices a value that is lost" says "did not print 'world'" 0 Healthy OK nothing SwitchoverCompleted
check "a release is made of its tag" tests/release.sh --self-test
summary
