#!/usr/bin/env bash
# operator.sh — the operator's image for the local cluster, from the binary that cargo built on this machine: what the
# Dockerfile makes, without Docker. It packs and loads in seconds, and does nothing when the binary is the same.
#
#   operator.sh [BINARY]    default: $CARGO_TARGET_DIR/release/redis-replication-operator
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd); CLUSTER=$HERE/../cluster
CACHE=${CLUSTER_CACHE:-$HOME/.cache/redis-replication-cluster}
BINARY=${1:-${CARGO_TARGET_DIR:-$HERE/../../target}/release/redis-replication-operator}
IMAGE=${IMAGE:-localhost/redis-replication-operator:dev}
DIR=$CACHE/operator ARCHIVE=$CACHE/operator/image.tar
[ -x "$BINARY" ] || { echo "there is no $BINARY: build it first (make build)" >&2; exit 1; }
mkdir -p "$DIR"

# The binary is linked against this machine's C library, so the base is of this machine's release.
suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-bookworm}")
base=$DIR/base-$suite-$(sha256sum <"$0" | cut -c1-12)
if [ ! -d "$base" ]; then
  echo "making the operator image's base from Debian's $suite" >&2
  "$CLUSTER/cluster.sh" packages; rm -rf "$DIR"/base-*
  nice mmdebstrap --quiet --variant=extract --include=ca-certificates,libc6,libgcc-s1 "$suite" "$base.partial" "$("$HERE/servers.sh" mirror)"
  cat "$base.partial"/usr/share/ca-certificates/mozilla/*.crt >"$base.partial/etc/ssl/certs/ca-certificates.crt"
  rm -rf "$base.partial"/{var,usr/share,usr/bin,usr/sbin,sbin,dev,etc/{apt,ca-certificates,debconf.conf,dpkg,fstab,hostname,ld.so.conf.d,resolv.conf}}
  mkdir -p "$base.partial"/{dev,home/nonroot,proc,sys,tmp,usr/local/bin}; chmod 1777 "$base.partial/tmp"
  echo nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin >"$base.partial/etc/passwd"
  echo nonroot:x:65532: >"$base.partial/etc/group"
  mv "$base.partial" "$base"
fi

recipe="$IMAGE $(cat "$0" "$CLUSTER/pack-image.py" "$BINARY" | sha256sum)"
if [ ! -f "$ARCHIVE" ] || [ "$recipe" != "$(cat "$ARCHIVE.recipe" 2>/dev/null)" ]; then
  install -m 0755 "$BINARY" "$base/usr/local/bin/redis-replication-operator"
  "$CLUSTER/pack-image.py" "$IMAGE" "$base" "$ARCHIVE" --entrypoint /usr/local/bin/redis-replication-operator \
    --user 65532:65532 --workdir /home/nonroot --own /home/nonroot=65532:65532
  echo "$recipe" >"$ARCHIVE.recipe"; echo "packed $IMAGE" >&2
fi
"$CLUSTER/cluster.sh" load "$ARCHIVE"
