#!/usr/bin/env bash
# Builds the bundle for the Operator Lifecycle Manager.
#   manifests/olm/build.sh [DIRECTORY [IMAGE]]    by default build/olm, and the image that install.yaml names
# The image of the bundle is DIRECTORY itself: `docker build -f DIRECTORY/bundle.Dockerfile DIRECTORY`.
set -euo pipefail
cd "$(dirname "$0")/../.."
PATH=$PATH:$HOME/.cache/redis-replication-cluster/bin
out=${1:-build/olm} image=${2:-}
rm -rf "$out"
mkdir -p "$out/manifests" "$out/metadata"

# One object in each file. Left out is what the manager makes itself, and the namespace, which whoever installs chooses.
kubectl kustomize manifests/olm |
  sed -e "s/base64data: ICON/base64data: $(base64 -w0 charts/redis-replication-operator/icon.svg)/" -e '/^  namespace: /d' |
  awk -v RS='---\n' -v out="$out/manifests" '{
    match($0, /(^|\n)kind: [A-Za-z]+/); kind = substr($0, RSTART, RLENGTH); sub(/.*kind: /, "", kind)
    match($0, /\n  name: [^\n]+/); name = substr($0, RSTART + 9, RLENGTH - 9)
    made = kind ~ /^(Namespace|ServiceAccount|Role|RoleBinding|ClusterRoleBinding|Deployment)$/
    if (!made && !(kind == "ClusterRole" && name == "redis-replication-operator")) printf "%s", $0 > (out "/" name "." tolower(kind) ".yaml")
  }'
[ -z "$image" ] || sed -i "s#\(image\|containerImage\): redis-replication-operator:.*#\1: $image#" "$out"/manifests/*.clusterserviceversion.yaml

# Where the manager finds what, as labels of the image and as a file in it.
annotations=(
  "mediatype.v1=registry+v1"
  "manifests.v1=manifests/"
  "metadata.v1=metadata/"
  "package.v1=redis-replication-operator"
  "channels.v1=alpha"
  "channel.default.v1=alpha"
)
{ echo "annotations:"; printf '  operators.operatorframework.io.bundle.%s\n' "${annotations[@]}" | sed 's/=/: /'; } >"$out/metadata/annotations.yaml"
{
  echo "FROM scratch"
  printf 'LABEL operators.operatorframework.io.bundle.%s\n' "${annotations[@]}"
  echo "COPY manifests /manifests/"
  echo "COPY metadata /metadata/"
} >"$out/bundle.Dockerfile"
echo "the bundle is in $out"
