//! `podOverrides`: a merge over the pod template that the operator makes.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::{Map, Value};

use super::{names, scripts, validate::InvalidSpec};

/// Keys by which the items of two lists are the same item. `mountPath` comes first: a mount's `name` is its volume's, and
/// a volume may be mounted twice.
const ITEM_KEYS: [&str; 2] = ["mountPath", "name"];

/// Merges, and refuses what no longer is a pod of this cluster.
pub(super) fn apply(
    name: &str,
    template: &PodTemplateSpec,
    overrides: &Map<String, Value>,
) -> Result<PodTemplateSpec, InvalidSpec> {
    let mut merged = serde_json::to_value(template).map_err(InvalidSpec::OverridesType)?;
    merge(&mut merged, &Value::Object(overrides.clone()));
    let template: PodTemplateSpec = serde_json::from_value(merged.clone()).map_err(InvalidSpec::OverridesType)?;
    let understood = serde_json::to_value(&template).map_err(InvalidSpec::OverridesType)?;
    match vanished("podOverrides", &merged, &understood) {
        Some(path) => Err(InvalidSpec::OverridesField { path }),
        None => check(name, template),
    }
}

/// What the operator depends on must still be there.
fn check(name: &str, template: PodTemplateSpec) -> Result<PodTemplateSpec, InvalidSpec> {
    let labels = template.metadata.as_ref().and_then(|metadata| metadata.labels.as_ref());
    for (key, value) in names::selector_labels(name).into_iter().chain(names::stateful_set_selector(name)) {
        if labels.and_then(|labels| labels.get(&key)) != Some(&value) {
            return Err(InvalidSpec::OverridesLabel { key });
        }
    }
    if labels.is_some_and(|labels| labels.contains_key(names::ROLE_LABEL)) {
        return Err(InvalidSpec::OverridesLabel { key: names::ROLE_LABEL.into() });
    }
    let containers = template.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let Some(redis) = containers.iter().find(|container| container.name == names::REDIS_CONTAINER) else {
        return Err(InvalidSpec::OverridesContainer);
    };
    let boot = scripts::BOOT.path();
    let words = redis.command.iter().chain(&redis.args).flatten();
    if !words.into_iter().any(|word| word.contains(&boot)) {
        return Err(InvalidSpec::OverridesCommand);
    }
    Ok(template)
}

fn merge(base: &mut Value, patch: &Value) {
    match (base, patch) {
        (Value::Object(base), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    base.remove(key);
                } else {
                    merge(base.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (Value::Array(base), Value::Array(patch)) => match item_key(base, patch) {
            Some(key) => {
                for item in patch {
                    match base.iter_mut().find(|candidate| candidate[key] == item[key]) {
                        Some(same) => merge(same, item),
                        None => base.push(without_nulls(item)),
                    }
                }
            }
            None => *base = patch.iter().map(without_nulls).collect(),
        },
        (base, patch) => *base = without_nulls(patch),
    }
}

/// The key that all items of both lists have. An empty list in the patch has none: it empties the other.
fn item_key(base: &[Value], patch: &[Value]) -> Option<&'static str> {
    let named = |key: &str| base.iter().chain(patch).all(|item| item.get(key).is_some_and(Value::is_string));
    ITEM_KEYS.into_iter().find(|key| !patch.is_empty() && named(key))
}

/// `null` deletes, also where there is nothing to delete.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key.clone(), without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

/// The path of the first field that did not survive being read as a pod template: it is misspelt, or in the wrong place.
fn vanished(path: &str, written: &Value, understood: &Value) -> Option<String> {
    match (written, understood) {
        (Value::Object(written), Value::Object(understood)) => written.iter().find_map(|(key, value)| {
            let path = format!("{path}.{key}");
            match understood.get(key) {
                Some(understood) => vanished(&path, value, understood),
                None => Some(path),
            }
        }),
        (Value::Array(written), Value::Array(understood)) => {
            written.iter().zip(understood).enumerate().find_map(|(index, (written, understood))| {
                let item = written.get("name").and_then(Value::as_str).map_or(index.to_string(), str::to_owned);
                vanished(&format!("{path}[{item}]"), written, understood)
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::super::fixture::{cluster, refusal};
    use super::*;

    fn merged(base: &str, patch: &str) -> Value {
        let mut base: Value = serde_json::from_str(base).unwrap();
        merge(&mut base, &serde_json::from_str(patch).unwrap());
        base
    }

    #[test]
    fn merging() {
        for (case, base, patch, expected) in [
            ("objects are merged", r#"{"a":1,"b":{"c":2}}"#, r#"{"b":{"d":3}}"#, r#"{"a":1,"b":{"c":2,"d":3}}"#),
            ("null deletes", r#"{"a":1,"b":2}"#, r#"{"a":null}"#, r#"{"b":2}"#),
            ("null where nothing is", "{}", r#"{"a":{"b":null}}"#, r#"{"a":{}}"#),
            (
                "named items are merged",
                r#"[{"name":"x","a":1},{"name":"y"}]"#,
                r#"[{"name":"x","b":2},{"name":"z"}]"#,
                r#"[{"name":"x","a":1,"b":2},{"name":"y"},{"name":"z"}]"#,
            ),
            (
                "mounts are merged by path",
                r#"[{"name":"data","mountPath":"/data"}]"#,
                r#"[{"name":"data","mountPath":"/more"}]"#,
                r#"[{"name":"data","mountPath":"/data"},{"name":"data","mountPath":"/more"}]"#,
            ),
            ("other lists are replaced", r#"[{"key":"a"}]"#, r#"[{"key":"b"}]"#, r#"[{"key":"b"}]"#),
            ("an empty list empties", r#"[{"name":"a"}]"#, "[]", "[]"),
            ("another type replaces", r#"{"a":{"b":1}}"#, r#"{"a":"x"}"#, r#"{"a":"x"}"#),
        ] {
            assert_eq!(merged(base, patch), serde_json::from_str::<Value>(expected).unwrap(), "{case}");
        }
    }

    #[test]
    fn overrides_reach_the_pod() {
        let cluster = cluster(
            "podOverrides: {metadata: {labels: {team: web}}, spec: {hostNetwork: false, containers: [{name: redis, env: [{name: TZ, value: UTC}]}, {name: log, image: 'busybox:1'}], topologySpreadConstraints: null, volumes: [{name: data, emptyDir: {sizeLimit: 1Gi}}]}}",
        );
        let labels = cluster.pod_template.metadata.unwrap().labels.unwrap();
        assert_eq!((labels["team"].as_str(), labels[names::INSTANCE_LABEL].as_str()), ("web", "cache"));
        let pod = cluster.pod_template.spec.unwrap();
        assert_eq!(pod.topology_spread_constraints, None);
        assert_eq!(pod.containers.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["redis", "log"]);
        let env: Vec<_> = pod.containers[0].env.as_ref().unwrap().iter().map(|env| env.name.as_str()).collect();
        assert_eq!(env, ["POD_NAME", "POD_IP", "TZ"]);
        let data = pod.volumes.unwrap().into_iter().find(|volume| volume.name == "data").unwrap();
        assert_eq!(data.empty_dir.unwrap().size_limit.unwrap().0, "1Gi");
    }

    #[test]
    fn numbers_for_quantities_and_empty_objects_are_understood() {
        cluster(
            "podOverrides: {metadata: {annotations: {}}, spec: {securityContext: {supplementalGroups: []}, containers: [{name: redis, resources: {limits: {cpu: '1', memory: 1Gi}}, livenessProbe: null}], volumes: [{name: x, emptyDir: {}}]}}",
        );
    }

    #[test]
    fn mistakes_are_named() {
        for (overrides, message) in [
            (
                "{spec: {containers: [{name: redis, imagePulPolicy: Always}]}}",
                "podOverrides.spec.containers[redis].imagePulPolicy is not a field of a pod template; look for a spelling mistake or a wrong level",
            ),
            (
                "{nodeSelector: {disk: fast}}",
                "podOverrides.nodeSelector is not a field of a pod template; look for a spelling mistake or a wrong level",
            ),
            (
                "{spec: {tolerations: [{kee: x}]}}",
                "podOverrides.spec.tolerations[0].kee is not a field of a pod template; look for a spelling mistake or a wrong level",
            ),
            (
                "{metadata: {labels: {app.kubernetes.io/instance: other}}}",
                "podOverrides may not set or remove the label app.kubernetes.io/instance: the operator finds the pods by it; leave it out",
            ),
            (
                "{metadata: {labels: null}}",
                "podOverrides may not set or remove the label app.kubernetes.io/component: the operator finds the pods by it; leave it out",
            ),
            (
                "{metadata: {labels: {redis.replication.dev/role: master}}}",
                "podOverrides may not set or remove the label redis.replication.dev/role: the operator finds the pods by it; leave it out",
            ),
            (
                "{spec: {containers: []}}",
                "podOverrides remove the container redis; leave it in spec.containers, or name only the containers to add",
            ),
            (
                "{spec: {containers: [{name: redis, command: [redis-server]}]}}",
                "podOverrides replace the command of the container redis: it must run /etc/redis/boot.sh, which keeps a restarted Redis from becoming a second master",
            ),
            (
                "{spec: {hostNetwork: often}}",
                "podOverrides do not make a pod template: invalid type: string \"often\", expected a boolean",
            ),
        ] {
            assert_eq!(refusal(&format!("podOverrides: {overrides}")).to_string(), message);
        }
    }
}
