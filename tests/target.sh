#!/usr/bin/env bash
# target.sh — prints the build folder of this checkout, for CARGO_TARGET_DIR. Each checkout has its own: Cargo identifies
# the packages of a workspace by their path within it, and recompiles only what is older than its source, so in a shared
# folder a checkout whose files are older silently gets what another checkout compiled.
#
# A folder without a profile takes the dependencies (what Cargo.lock has from a registry) of that profile from the folder
# that changed last. Libraries are hard links, which take no space: rustc replaces these files and never writes into them.
set -euo pipefail
cd -P "$(dirname "$0")/.."
cache=$HOME/.cache/redis-replication-operator
checkout=$(ls -di "$PWD") # with the inode: another checkout moved to this path is not this one
own=$cache/target-$(sha256sum <<<"$checkout" | cut -c1-12)

take() { # FROM TO : what is compiled of the dependencies
  local units
  units=$(find "$1/.fingerprint" -mindepth 1 -maxdepth 1 -printf '%f\n' |
    awk 'NR == FNR { if (/^name/) name = $3; if (/^source/) known[name]; next }
      { name = $0; sub(/-[0-9a-f]+$/, "", name) } "\"" name "\"" in known' Cargo.lock -)
  [ -n "$units" ] || return 0
  mkdir -p "$2"/{.fingerprint,build,deps}
  # A fingerprint is written when its unit is complete. So it comes first: what is compiled meanwhile is compiled again.
  (cd "$1/.fingerprint" && xargs -r cp -a -t "$2/.fingerprint") <<<"$units"
  (cd "$1/build" && find . -mindepth 1 -maxdepth 1 -printf '%f\n' | { grep -xFf <(echo "$units") || true; } | xargs -r cp -a -t "$2/build")
  find "$1/deps" -name 'lib*' | { grep -Ff <(sed -nE 's/.*(-[0-9a-f]+)$/\1./p' <<<"$units") || true; } >"$2/list"
  # On another disk there are no hard links.
  xargs -r cp -al -t "$2/deps" <"$2/list" 2>/dev/null || xargs -r cp -a --remove-destination -t "$2/deps" <"$2/list"
  rm "$2/list"
}

mkdir -p "$own"; exec 9>"$cache/target.lock"; flock 9
echo "$checkout" >"$own/checkout"
for profile in debug release simulation; do
  [ ! -d "$own/$profile" ] || continue
  from=$(find "$cache"/target*/"$profile" -maxdepth 1 -name .fingerprint -printf '%T@ %h\n' 2>/dev/null | sort -n | tail -1 | cut -d' ' -f2-) || true
  [ -n "$from" ] || continue
  rm -rf "$own/partial"; take "$from" "$own/partial"
  [ -d "$own/partial" ] || continue
  mv "$own/partial" "$own/$profile"
  echo "target: the dependencies of $profile are those of $from" >&2
done
for other in "$cache"/target-*/checkout; do # remove the folders of checkouts that are gone
  read -r _ path <"$other"
  [ "$(ls -di "$path" 2>/dev/null)" = "$(cat "$other")" ] || rm -rf "${other%/*}"
done
echo "$own"
