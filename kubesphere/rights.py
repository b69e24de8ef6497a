"""What an installation needs and has not got: Kubernetes lets nobody make an object without the right to, and nobody grant
a right that he has not got himself."""

# Kinds whose plural is not the lower-case kind with an "s" behind it.
PLURALS = {"NetworkPolicy": "networkpolicies"}
CLUSTER_WIDE = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "RoleTemplate", "Namespace"}


def missing_rights(objects, permissions):
    """Sentences, each beginning with a verb, for a rendered chart and the documents of permissions.yaml."""
    rules = {"ClusterRole": [], "Role": []}
    for role in permissions:
        rules.setdefault(role.get("kind"), []).extend(role.get("rules", []))
    for one in objects:
        kind, name = one["kind"], one["metadata"]["name"]
        held = rules["ClusterRole"] + ([] if kind in CLUSTER_WIDE else rules["Role"])
        group = one["apiVersion"].rpartition("/")[0]
        resource = PLURALS.get(kind, kind.lower() + "s")
        kept = one["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == "keep"
        for verb in ("create", "get", "patch") if kept else ("create", "get", "patch", "delete"):
            if not allowed(held, group, resource, verb, name if verb != "create" else None):
                yield f"{verb} the {kind} {name}"
        if kind in ("ClusterRole", "Role"):
            for rule in one.get("rules", []):
                yield from (f"grant {lack} in the {kind} {name}" for lack in beyond(held, rule))
    for verb in ("create", "get", "list", "update", "delete"):
        if not allowed(rules["ClusterRole"] + rules["Role"], "", "secrets", verb, None):
            yield f"{verb} the Secret in which Helm keeps its record"


def allowed(rules, group, resource, verb, name):
    for rule in rules:
        names = rule.get("resourceNames", [])
        if group in rule.get("apiGroups", []) and resource in rule.get("resources", []) and verb in rule.get("verbs", []):
            if not names or name in names:
                return True
    return False


def beyond(held, rule):
    urls = {(url, verb) for one in held for url in one.get("nonResourceURLs", []) for verb in one.get("verbs", [])}
    for url in rule.get("nonResourceURLs", []):
        yield from (f"{verb} {url}" for verb in rule.get("verbs", []) if (url, verb) not in urls)
    for group in rule.get("apiGroups", []):
        for resource in rule.get("resources", []):
            for verb in rule.get("verbs", []):
                for name in rule.get("resourceNames", [None]):
                    if not allowed(held, group, resource, verb, name):
                        yield f"{verb} {resource}{'.' + group if group else ''}{' ' + name if name else ''}"
