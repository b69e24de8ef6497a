#!/usr/bin/env bash
# servers.sh — the images that the tests run, packed from Debian's packages; no registry is asked for anything.
#
# They bear the official images' names and keep to what is true of those: `sh` and redis-cli (valkey-cli) in the PATH,
# user 999 and a /data that belongs to it, the same default user (root), working directory and command. Those of Valkey
# answer to redis-server and redis-cli too, as the official ones do. What is not in the official images (ps, ip, nc,
# nslookup …) is not in these either: a test that passes here must pass there.
#
#   servers.sh [DIRECTORY]    make what is missing or older than this recipe (cached)
#   servers.sh mirror         print the Debian mirror that is used
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd)
OUT=${1:-${CLUSTER_CACHE:-$HOME/.cache/redis-replication-cluster}/images}
COMMANDS="[ awk basename cat chgrp chmod chown cp cut date dd df dirname du echo env expr false find grep head hostname id kill ln ls mkdir
  mktemp mv nproc od printf pwd readlink realpath rm rmdir sed seq sha1sum sha256sum sleep sort stat sync tail tar tee test timeout
  touch tr true uname uniq wc whoami xargs"

mirror() { # Debian's own archive as this machine reaches it, whichever file says so (debian.sources or sources.list)
  local uri; uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' 2>/dev/null | head -n 1)
  echo "${uri:-http://deb.debian.org/debian}"
}

[ "${1:-}" != mirror ] || { mirror; exit; }

# rootfs SUITE DIRECTORY PROGRAMS PACKAGE... : a shell, busybox's commands, the programs, and the libraries they need
rootfs() {
  local suite=$1 dir=$2 programs=$3 all=$2.all d c file; shift 3
  # The check of the date is off because a mirror may be a snapshot: unstable's index expires after a week.
  nice mmdebstrap --quiet --variant=extract --aptopt='Acquire::Check-Valid-Until "false"' \
    --include="busybox-static,dash,$(IFS=,; echo "$*")" "$suite" "$all" "$(mirror)"
  for d in bin sbin lib lib64; do
    mkdir -p "$dir/usr/$d"; ln -s "usr/$d" "$dir/$d"; [ -e "$all/$d" ] || ln -s "usr/$d" "$all/$d"; done
  for c in busybox dash $programs; do
    file=$(cd "$all" && find bin/ usr/bin/ -name "$c" -print -quit)
    cp -L "$all/$file" "$dir/usr/bin/"; libraries "$all" "$file" "$dir"; done
  for c in $COMMANDS; do ln -s busybox "$dir/usr/bin/$c"; done; ln -s dash "$dir/usr/bin/sh"
  mkdir -p "$dir"/{data,dev,etc,proc,sys,run,tmp,root}; chmod 1777 "$dir/tmp"
  rm -rf "$all"
}

libraries() { # FROM PROGRAM TO : asks the loader of the suite itself, for its C library may be newer than this machine's
  local file loader; loader=$(cd "$1" && find lib64/ lib/ -maxdepth 1 -name 'ld-linux-*' -print -quit)
  { chroot "$1" "/$loader" --list "/$2" || true; } 2>/dev/null | sed -n 's,[^/]*\(/[^ ]*\).*,\1,p' | while read -r file; do
    mkdir -p "$3$(dirname "$file")"; cp -Lu "$1$file" "$3$file"; done
}

server() { # IMAGE SUITE NAME : Redis' or Valkey's server, client and benchmark
  local image=$1 suite=$2 name=$3 archive dir version c
  archive=$OUT/$(basename "${image/:/-}").tar
  fresh "$archive" && return
  echo "packing $image from Debian's $suite" >&2
  dir=$(mktemp -d -p "$WORK"); rootfs "$suite" "$dir" "$name-server $name-cli $name-benchmark" "$name-server" "$name-tools"
  version=$(chroot "$dir" "/usr/bin/$name-server" --version | sed -n 's/.* v=\([^ ]*\) .*/\1/p')
  [[ $version == "${image##*:}".* ]] || echo "warning: $image now holds $name $version; rename it in $0" >&2
  [ "$name" = redis ] || for c in server cli benchmark; do
    ln -s "$name-$c" "$dir/usr/bin/redis-$c"; done
  printf 'root:x:0:0:root:/root:/bin/sh\n%s:x:999:999::/data:/bin/sh\n' "$name" >"$dir/etc/passwd"
  printf 'root:x:0:\n%s:x:999:\n' "$name" >"$dir/etc/group"
  "$HERE/../cluster/pack-image.py" "$image" "$dir" "$archive" --cmd "$name-server" --workdir /data --volume /data \
    --own /data=999:999 --label "org.opencontainers.image.version=$version" --label "org.opencontainers.image.source=debian/$suite"
  done_with "$archive" "$image $version ($suite)"; rm -rf "$dir"
}

exporter() { # IMAGE SUITE : the metrics exporter
  local image=$1 suite=$2 archive dir; archive=$OUT/$(basename "${image/:/-}").tar
  fresh "$archive" && return
  echo "packing $image from Debian's $suite" >&2
  dir=$(mktemp -d -p "$WORK"); rootfs "$suite" "$dir" prometheus-redis-exporter prometheus-redis-exporter
  ln -s usr/bin/prometheus-redis-exporter "$dir/redis_exporter" # where the official image has it
  "$HERE/../cluster/pack-image.py" "$image" "$dir" "$archive" --entrypoint /redis_exporter --user 59000:59000
  done_with "$archive" "$image ($suite)"; rm -rf "$dir"
}

pause() {
  local archive=$OUT/pause.tar; fresh "$archive" && return
  mkdir "$WORK/pause"; gcc -O2 -static -s -o "$WORK/pause/pause" "$HERE/../cluster/pause.c"
  "$HERE/../cluster/pack-image.py" localhost/pause:1 "$WORK/pause" "$archive" --entrypoint /pause
  done_with "$archive" localhost/pause:1
}

# An archive is good if it was finished by this very recipe.
RECIPE=$(cat "$0" "$HERE"/../cluster/{pack-image.py,pause.c} | sha256sum | cut -c1-16)
fresh() { [ -f "$1" ] && [ "$(head -n 1 "$1.recipe" 2>/dev/null)" = "$RECIPE" ]; }
done_with() { printf '%s\n%s\n' "$RECIPE" "$2" >"$1.recipe"; echo "packed $2" >&2; }

mkdir -p "$OUT"; WORK=$(mktemp -d); trap 'rm -rf "$WORK"' EXIT
pause
server docker.io/library/redis:7.0 bookworm redis
server docker.io/library/redis:8.0 trixie redis
server docker.io/valkey/valkey:8.1 trixie valkey
server docker.io/valkey/valkey:9.1 sid valkey
exporter docker.io/oliver006/redis_exporter:v1.86.0 sid
