#!/usr/bin/env python3
"""Makes Prometheus' files of targets from pods, by the labels and port names that the chart's monitors select by.

    kubectl get pods -A -o json | targets.py PROXY NAMESPACE DIRECTORY

Pods are asked through the API server, by `kubectl proxy` at PROXY, so it works wherever KUBECONFIG leads. Exporters are
those of one namespace.
"""
import json
import pathlib
import sys

LABEL = "app.kubernetes.io/"


def ports(pod, name):
    return [p["containerPort"] for c in pod["spec"]["containers"] for p in c.get("ports", []) if p.get("name") == name]


def main():
    proxy, namespace, directory = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    operator, exporters = [], []
    for pod in json.load(sys.stdin)["items"]:
        labels, meta = pod["metadata"].get("labels", {}), pod["metadata"]
        kind = labels.get(LABEL + "name")
        own = {"namespace": meta["namespace"], "pod": meta["name"]}

        def target(port, **more):
            path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}:{port}/proxy/metrics"
            return {"targets": [proxy], "labels": {"__metrics_path__": path, "instance": f"{meta['name']}:{port}", **own, **more}}

        if kind == "redis-replication-operator" and pod["status"]["phase"] == "Running":
            operator += [target(port) for port in ports(pod, "http")]
        if kind == "redis-replication" and labels.get(LABEL + "managed-by") == "redis-replication-operator" and meta["namespace"] == namespace:
            exporters += [target(port, name=labels[LABEL + "instance"], member=meta["name"]) for port in ports(pod, "metrics")]
    for name, targets in (("operator", operator), ("exporters", exporters)):
        (directory / f"{name}.json").write_text(json.dumps(targets))
    if not operator or not exporters:
        sys.exit(f"found {len(operator)} operators and {len(exporters)} exporters")


main()
