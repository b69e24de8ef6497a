#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{super::RESERVED_DIRECTIVES, *};

fn parse(spec: &str) -> RedisReplication {
    RedisReplication::new("cache", serde_saphyr::from_str(spec).expect(spec))
}

fn named(name: &str) -> RedisReplication {
    RedisReplication::new(name, parse("{}").spec)
}

/// What the rules say of a creation, or of an update.
fn refusal(resource: &RedisReplication, old: Option<&RedisReplication>) -> Option<String> {
    let checked = match old {
        Some(old) => resource.validate_cel_update(old),
        None => resource.validate_cel(),
    };
    checked.err().map(|errors| format!("{errors:?}"))
}

#[track_caller]
fn assert_refused(case: &str, refusal: Option<String>, because: &str) {
    let refusal = refusal.unwrap_or_else(|| "accepted".into());
    assert!(refusal.contains(because), "{case}: {refusal}");
}

#[test]
fn nothing_need_be_said() {
    let spec = parse("{}").spec;
    assert_eq!((spec.replicas, spec.image.as_str(), spec.paused), (3, "redis:8.0", false));
    assert_eq!((spec.auth, spec.persistence, spec.services, spec.pod_overrides), (None, None, None, None));
    assert_eq!(refusal(&parse("{}"), None), None);
}

#[test]
fn sections_have_defaults_too() {
    let spec = parse("{auth: {}, persistence: {size: 1Gi}, services: {master: {}}}").spec;
    assert_eq!(spec.auth.unwrap().secret_key, "password");
    let persistence = spec.persistence.unwrap();
    assert_eq!(persistence.mode, PersistenceMode::Aof);
    assert_eq!((persistence.when_deleted, persistence.when_scaled), (ClaimRetention::Retain, ClaimRetention::Retain));
    assert_eq!(spec.services.unwrap().master, Some(ServiceSettings::default()));
}

#[test]
fn fields_of_a_newer_version_are_no_error_when_read() {
    assert_eq!(parse("{fromTheFuture: true, persistence: {size: 1Gi, tier: cold}}").spec.replicas, 3);
}

#[test]
fn names_make_services_and_pods() {
    for name in ["a", "cache", "my-cache-2", &"a".repeat(40)] {
        assert_eq!(refusal(&named(name), None), None, "{name}");
    }
    for (name, because) in [
        (&*"a".repeat(41), "40 characters"),
        ("2cache", "start with a letter"),
        ("my.cache", "lower-case letters"),
        ("cache-", "lower-case letters"),
    ] {
        assert_refused(name, refusal(&named(name), None), because);
    }
}

#[test]
fn config_takes_any_directive_but_the_operators() {
    for spec in ["config: {maxmemory: 2gb, hz: 20}", "config: {portable: x}", "config: {search.threads: 4}"] {
        assert_eq!(refusal(&parse(spec), None), None, "{spec}");
    }
    for directive in ["DbFilename", "ReplicaOf"] {
        assert_refused(directive, refusal(&parse(&format!("config: {{{directive}: x}}")), None), "capital letters");
    }
    for directive in RESERVED_DIRECTIVES {
        let refusal = refusal(&parse(&format!("config: {{maxmemory: 1gb, {directive}: x}}")), None);
        assert_refused(directive, refusal, &format!("spec.config may not set {directive}, which"));
    }
    for (directive, words) in [
        ("requirepass", "use spec.auth"),
        ("appendonly", "use spec.persistence.mode"),
        ("port", "use spec.services"),
        ("slaveof", "switchover-to"),
        ("min-slaves-to-write", "spec.failover.policy"),
    ] {
        assert_refused(directive, refusal(&parse(&format!("config: {{{directive}: x}}")), None), words);
    }
    for (config, persistence, refused) in [
        ("save: 900 1", "", true),
        ("Save: 900 1", "persistence: {size: 1Gi}", true),
        ("save: 900 1", "persistence: {size: 1Gi, mode: AOF}", true),
        ("save: 900 1", "persistence: {size: 1Gi, mode: RDB}", false),
        ("SAVE: 900 1", "persistence: {size: 1Gi, mode: RDBAndAOF}", false),
    ] {
        let refusal = refusal(&parse(&format!("{{config: {{{config}}}, {persistence}}}")), None);
        assert_eq!(refusal.is_some(), refused, "{config} {persistence}: {refusal:?}");
    }
    for key in ["", "two words", "a\\nport", "#port", "-x"] {
        assert_refused(key, refusal(&parse(&format!("config: {{\"{key}\": x}}")), None), "names of redis.conf");
    }
}

/// The rules and their messages are literals: the derive takes no others.
#[test]
fn each_reserved_directive_has_a_rule_that_names_it() {
    let crd = serde_json::to_value(crate::api::crd()).unwrap();
    let config = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["config"];
    let rules = config["x-kubernetes-validations"].as_array().unwrap();
    let mut found = Vec::new();
    for rule in rules {
        let text = rule["rule"].as_str().unwrap();
        if let Some(directive) = text.strip_prefix("!('").and_then(|rest| rest.strip_suffix("' in self)")) {
            let message = rule["message"].as_str().unwrap();
            assert!(message.starts_with(&format!("spec.config may not set {directive}, which")), "{message}");
            found.push(directive);
        } else if let Some((_, list)) = text.split_once('[').filter(|_| text.contains("lowerAscii")) {
            let (list, _) = list.split_once(']').unwrap();
            let list: Vec<_> = list.split(',').map(|item| item.trim_matches('\'')).collect();
            assert_eq!(list, RESERVED_DIRECTIVES, "in capital letters");
        }
    }
    assert_eq!(found, RESERVED_DIRECTIVES);
}

#[test]
fn reserved_directives_are_sorted_and_lower_case() {
    assert!(RESERVED_DIRECTIVES.is_sorted());
    assert!(RESERVED_DIRECTIVES.iter().all(|directive| *directive == directive.to_lowercase()));
}

#[test]
fn persistence_is_for_ever() {
    let (without, with) = ("{}", "persistence: {size: 1Gi, storageClassName: fast}");
    for spec in [without, with] {
        assert_eq!(refusal(&parse(spec), None), None, "creating {spec}");
        assert_eq!(refusal(&parse(spec), Some(&parse(spec))), None, "keeping {spec}");
    }
    for (case, old, new, because) in [
        ("adding", without, with, "can't be added or removed"),
        ("removing", with, without, "can't be added or removed"),
        ("growing", with, "persistence: {size: 2Gi, storageClassName: fast}", "size can't be changed"),
        ("another class", with, "persistence: {size: 1Gi, storageClassName: slow}", "storageClassName can't"),
        ("no class", with, "persistence: {size: 1Gi}", "storageClassName can't"),
        ("a class", "persistence: {size: 1Gi}", with, "storageClassName can't"),
    ] {
        assert_refused(case, refusal(&parse(new), Some(&parse(old))), because);
    }
}

#[test]
fn the_rest_of_persistence_may_change() {
    let old = parse("persistence: {size: 1Gi}");
    for new in [
        "persistence: {size: 1Gi, mode: RDB}",
        "persistence: {size: 1Gi, whenDeleted: Delete}",
        "{replicas: 5, persistence: {size: 1Gi}}",
    ] {
        assert_eq!(refusal(&parse(new), Some(&old)), None, "{new}");
    }
}

#[test]
fn a_node_port_needs_a_service_that_has_one() {
    for type_ in ["NodePort", "LoadBalancer"] {
        let spec = format!("services: {{master: {{type: {type_}, nodePort: 30000}}}}");
        assert_eq!(refusal(&parse(&spec), None), None, "{spec}");
    }
    for section in ["master", "replicas"] {
        let spec = format!("services: {{{section}: {{nodePort: 30000}}}}");
        assert_refused(&spec, refusal(&parse(&spec), None), "nodePort needs type");
    }
}
