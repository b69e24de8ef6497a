"""That check.py notices what is wrong, and says nothing of what is right."""

import check

# A line of a document, and words of the fault that must be found in it.
WRONG = [
    ("`make demmo`", "make has no target demmo"),
    ("`make demo CLUSTER=clouds`", "no CLUSTER=clouds"),
    ("`make demo COLOUR=red`", "make knows no COLOUR"),
    ("    helm install x charts/redis-replication-operator --set image.repo=y", "no value image.repo"),
    ("    helm install x charts/redis-replication-operator --set replicas=1,metricz.service.enabled=true", "no value metricz"),
    ("    helm install x charts/redis-replication --set watchNamespace=y", "no value watchNamespace"),
    ("    helm install x charts/redis-replicator", "there is no charts/redis-replicator"),
    ("    helm install x build/kubesphere/redis-replication-9.9.9.tgz", "builds no"),
    ("`--set crd.install=true`", "no value crd.install"),
    ("    kubectl apply -f manifests/examples/slow.yaml", "there is no manifests/examples/slow.yaml"),
    ("    kubectl kustomize manifests/kustomize/none", "there is no manifests/kustomize/none"),
    ("    kubectl get redisreplicas", "no resource redisreplicas"),
    ("    x=$(kubectl get rrr cache)", "no resource rrr"),
    ("    kubectl get rr \\\n      -o jsonpath='{.status.boss}'", "no field status.boss"),
    ("    kubectl delete pod \"$(kubectl get rr cache -o jsonpath='{.status.boss}')\"", "no field status.boss"),
    ("    kubectl patch rr cache --type merge -p '{\"spec\":{\"halted\":true}}'", "no field spec.halted"),
    ("    kubectl explain rr.spec.durabilty", "no field spec.durabilty"),
    ("    kubectl annotate rr cache redis.replication.dev/switch-to=any", "redis.replication.dev/switch-to"),
    ("    kubectl rr stattus cache", "no command stattus"),
    ("    kubectl rr status cache --follow", "has no --follow"),
    ("    kubectl -n shop get rr | kubectl rr -n shop failover cache --soft", "has no --soft"),
    ("    cargo test --test nothing", "no test nothing"),
    ("    kubectl get pods 'half", "cannot be read"),
    ("`spec.replica` pods", "no field spec.replica"),
    ("`failover.polcy: Consistency`", "neither the spec nor a chart has failover.polcy"),
    ("`image.tagg`", "neither the spec nor a chart has image.tagg"),
    ("`tests/e2e/nothing.rs::at_all`", "there is no tests/e2e/nothing.rs"),
    ("`operator/nothing.rs`", "there is no operator/nothing.rs"),
    ("```sh\ntests/nothing.sh\n```", "there is no tests/nothing.sh"),
    ("```\n$ make nothing\nmade\n```", "no target nothing"),
    ("[a](nothing.md)", "leads nowhere: nothing.md"),
    ("![a](../docs/nothing.svg)", "leads nowhere"),
    ("[a](../../outside.md)", "leads nowhere"),
    ("[a](operations.md#nothing)", "no heading"),
    ("# A title\n[a](#b-title)", "no heading"),
]
RIGHT = """# A title, with `code` (and more)

[a](#a-title-with-code-and-more) [b](operations.md#alerts) [c](../README.md) [d](https://example.com/nothing.md)

`make demo CLUSTER=kind`, `DURATION=14 make clients`, `kubectl delete pod --all`, `spec.podOverrides.spec`, `owner/name.git`,
`durability.waitReplicas: k`, `networkPolicy.redis.metricsFrom`, `sentinel.enabled: false`, `main.rs`

    helm upgrade x charts/redis-replication-operator --reset-then-reuse-values \\
      --set podAnnotations.a\\.b=c,metrics.serviceMonitor.labels.any=thing --set-string global.nodeSelector.x=y
    kubectl rr cli cache cache-1 -n shop -- --raw GET key    # a comment
    kubectl get rr,pods -l a=b -o jsonpath='{.items[0].metadata.name}' >file 2>&1 && make lint | tail -n 3

```
$ kubectl get rr
make nothing is what it says
```

```python
make = "nothing"
```
"""
PAIR = "# A\n[a](README.md)\n```sh\nmake demo # watch\n```\n"
OTHERS = {
    "headings": "# A\n## B\n[a](README.zh-CN.md)\n```sh\nmake demo # 看\n```\n",
    "blocks of code": "# A\n[a](README.zh-CN.md)\n```sh\nmake lint # 看\n```\n",
    "links": "# A\n```sh\nmake demo # 看\n```\n",
    "rows of tables": "# A\n| a |\n[a](README.zh-CN.md)\n```sh\nmake demo # 看\n```\n",
}


def run():
    """Prints what was not as it should be; the number of it."""
    failures = []
    for text, words in WRONG:
        found = [fault for _, fault in check.check_text("docs/invented.md", text)]
        if not any(words in fault for fault in found):
            failures.append(f"not noticed: {text!r}; found were {found}")
    failures += [f"noticed without a reason, line {fault}" for fault in check.check_text("docs/invented.md", RIGHT)]
    if fault := check.check_pair(PAIR, "# 甲\n[a](README.zh-CN.md)\n```sh\nmake demo # 看\n```\n"):
        failures.append(f"a pair in step: {fault}")
    for what, other in OTHERS.items():
        if not any(what in fault for fault in check.check_pair(PAIR, other)):
            failures.append(f"a pair out of step: {what}")
    print("\n".join(failures) or f"{len(WRONG) + len(OTHERS)} faults, all noticed")
    return len(failures)
