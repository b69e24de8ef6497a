#!/usr/bin/env bash
# Checks the bundle for the Operator Lifecycle Manager. Needs helm and kubectl. With KUBECONFIG set to a test cluster that
# answers, the API server checks what is in it as well, but the ClusterServiceVersion, whose definition the manager brings.
set -euo pipefail
source "$(dirname "$0")/checks.sh"
ns=redis-replication-olm-$$
trap leave EXIT
command -v kubectl >/dev/null || { echo "skip  the bundle: there is no kubectl"; exit 0; }

bundle=$tmp/bundle version=$(sed -n 's/^version: //p' charts/redis-replication-operator/Chart.yaml)
csv=$bundle/manifests/redis-replication-operator.v$version.clusterserviceversion.yaml
# What the manager makes itself is not in the bundle; all else of install.yaml is.
kinds() { sed -n 's/^kind: //p' "$bundle"/manifests/*.yaml | sort | uniq -c | awk '{print $2 "=" $1}' | paste -sd' '; }
has_kinds() { kinds; [ "$(kinds)" = "ClusterRole=2 ClusterServiceVersion=1 ConfigMap=1 CustomResourceDefinition=1 PodDisruptionBudget=1 Service=1" ]; }
one_each() { ! grep -c '^kind: ' "$bundle"/manifests/*.yaml | grep -v ':1$'; }
no_namespace() { ! grep -n '^  namespace: ' "$bundle"/manifests/*.yaml; }
says() { grep -qE "$1" "$csv" || { echo "without $1"; return 1; }; }
says_not() { ! grep -nE "$1" "$csv"; }
agree() { # PYTHON FILE... : it holds of `given`, the lists of objects in the files
  PYTHONPATH=kubesphere python3 -c 'import json, pathlib, sys; from yaml_by_helm import documents
given = [documents(pathlib.Path(path).read_text()) for path in sys.argv[2:]]
exec(sys.argv[1])' "$@"
}
same_rights() { # as the account has in install.yaml
  agree '(csv,), install = given
roles = [d for d in install if d["kind"].endswith("Role") and d["metadata"]["name"].removesuffix("-leader") == "redis-replication-operator"]
rights = [p["rules"] for p in csv["spec"]["install"]["spec"]["permissions"]]
assert len(rights) == 2 and rights == [r["rules"] for r in roles], rights' "$csv" manifests/install.yaml
}
labels_are_annotations() {
  diff <(sed -n 's/^LABEL \(.*\)=/\1: /p' "$bundle/bundle.Dockerfile") <(sed -n 's/^  //p' "$bundle/metadata/annotations.yaml")
}
shows_the_quickstart() { # in the form that catalogs have for a new resource
  agree '(csv,), example = given
assert json.loads(csv["metadata"]["annotations"]["alm-examples"]) == example' "$csv" manifests/examples/quickstart.yaml
}
same_crd() { agree 'assert given[0] == given[1]' crds/redisreplications.yaml "$bundle"/manifests/*.customresourcedefinition.yaml; }

check "the bundle is built" manifests/olm/build.sh "$bundle"
check "what is in it, and what the manager makes itself is not" has_kinds
check "one object in each file" one_each
check "no namespace: whoever installs it chooses" no_namespace
check "the version is the chart's" says "^  version: $version\$"
check "the name has the version" says "^  name: redis-replication-operator\\.v$version\$"
check "the image is the chart's" says "^ +image: redis-replication-operator:$version\$"
check "the namespaces are the OperatorGroup's" says "fieldPath: metadata.annotations\\['olm.targetNamespaces'\\]"
check "OpenShift chooses the user" says_not 'runAs(User|Group)'
check "the icon is the chart's" says "base64data: $(base64 -w0 charts/redis-replication-operator/icon.svg | head -c 60)"
check "the rights are install.yaml's" same_rights
check "the example is the quickstart" shows_the_quickstart
check "the CRD is the repository's" same_crd
check "labels and annotations agree" labels_are_annotations
check "another image" manifests/olm/build.sh "$bundle" registry.example.com/keeper:1.2.3
check "another image is named everywhere" says_not '[iI]mage: redis-replication-operator'

if cluster_for "the API server's checks"; then
  restricted_namespace "$ns"
  for file in "$bundle"/manifests/*.{configmap,service,poddisruptionbudget,clusterrole}.yaml; do
    check "the API server takes ${file##*/}" without_warning dry_run "$file" -n "$ns"
  done
fi

summary
