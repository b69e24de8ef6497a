#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::super::fixture::{cluster, refusal, resource};
use super::*;

#[test]
fn the_resource_owns_its_cluster() {
    let cluster = cluster("{}");
    assert_eq!((cluster.name.as_str(), cluster.namespace.as_str()), ("cache", "shop"));
    assert_eq!(cluster.owner.kind, "RedisReplication");
    assert_eq!(cluster.owner.api_version, "redis.replication.dev/v1alpha1");
    assert_eq!((cluster.owner.uid.as_str(), cluster.owner.controller), ("5a1e", Some(true)));
}

#[test]
fn a_resource_that_no_server_has_stored_is_refused() {
    let mut resource = resource("{}");
    resource.metadata.uid = None;
    assert_eq!(
        validate(&resource).unwrap_err().to_string(),
        "the resource has no metadata.uid: it was not read from an API server"
    );
}

#[test]
fn mistakes_say_what_to_change() {
    for (spec, beginning) in [
        ("image: 'redis: 8'", "spec.image is \"redis: 8\": an image has no spaces"),
        ("image: \"redis:8\\n\"", "spec.image is \"redis:8\\n\""),
        ("config: {maxmemory: \"1\\0gb\"}", "spec.config.maxmemory contains the control character '\\0'"),
        ("config: {maxmemory: \"1\\e[0m\"}", "spec.config.maxmemory contains the control character '\\u{1b}'"),
        (
            "config: {busy-reply-threshold: 10000}",
            "spec.config.busy-reply-threshold is 10000 and failover.unresponsiveAfter is 5000 ms: it must be from 1 to 4500 ms",
        ),
        ("config: {busy-reply-threshold: 4501}", "spec.config.busy-reply-threshold is 4501"),
        ("config: {lua-time-limit: '0'}", "spec.config.lua-time-limit is 0"),
        ("config: {LUA-TIME-LIMIT: -1}", "spec.config.LUA-TIME-LIMIT is -1"),
        ("{config: {lua-time-limit: 4000}, failover: {unresponsiveAfter: 3s}}", "spec.config.lua-time-limit is 4000"),
        (
            "config: {maxmemory: 0.5}",
            "spec.config.maxmemory is the number 0.5, which is not kept exactly; write it in quotes",
        ),
        ("config: {maxmemory: 18446744073709551616}", "spec.config.maxmemory is the number 1.8446744073709552e+19"),
        ("config: {save: '900 1'}", "spec.config.save is the times of snapshots, which"),
        ("{config: {SAVE: '900 1'}, persistence: {size: 1Gi}}", "spec.config.save is the times of snapshots, which"),
        ("{config: {save: ''}, persistence: {size: 1Gi, mode: RDB}}", "spec.config.save is \"\": it must be pairs"),
        ("{config: {save: 900}, persistence: {size: 1Gi, mode: RDB}}", "spec.config.save is \"900\": it must"),
        ("{config: {save: '900 1 300'}, persistence: {size: 1Gi, mode: RDB}}", "spec.config.save is \"900 1 300\""),
        ("config: {maxmemory: 1}", "spec.config.maxmemory is \"1\": less than 1mb"),
        ("config: {MaxMemory: 100kb}", "spec.config.MaxMemory is \"100kb\""),
        ("config: {client-output-buffer-limit: normal 256 64 60}", "spec.config.client-output-buffer-limit is"),
        (
            "config: {client-output-buffer-limit: \"replica 1gb 0 0\\nnormal 0 64kb 60\"}",
            "spec.config.client-output-buffer-limit is",
        ),
        (
            "{config: {save: '9 3000000000'}, persistence: {size: 1Gi, mode: RDB}}",
            "spec.config.save is \"9 3000000000\"",
        ),
        (
            "{config: {save: '9 1', SAVE: '9 2'}, persistence: {size: 1Gi, mode: RDB}}",
            "spec.config has save in several",
        ),
        ("{config: {save: '0 1'}, persistence: {size: 1Gi, mode: RDB}}", "spec.config.save is \"0 1\""),
        ("{config: {save: '60 few'}, persistence: {size: 1Gi, mode: RDB}}", "spec.config.save is \"60 few\""),
        ("podLabels: {'a b': c}", "spec.podLabels has the key \"a b\""),
        ("podLabels: {a: 'b c'}", "spec.podLabels.a is \"b c\""),
        ("nodeSelector: {a: 'b c'}", "spec.nodeSelector.a is \"b c\""),
        ("podAnnotations: {'a b': 'c d'}", "spec.podAnnotations has the key \"a b\""),
        ("services: {replicas: {annotations: {'/': x}}}", "spec.services.replicas.annotations has the key \"/\""),
        ("persistence: {size: lots}", "spec.persistence.size is \"lots\""),
        ("persistence: {size: 0Gi}", "spec.persistence.size is \"0Gi\""),
        ("persistence: {size: 1Gi, storageClassName: A}", "spec.persistence.storageClassName is \"A\""),
        ("resources: {limits: {memory: 2GB}}", "spec.resources.limits.memory is \"2GB\""),
        ("resources: {limits: {'a b': 1}}", "spec.resources.limits has the key \"a b\""),
        ("metrics: {image: 'a b'}", "spec.metrics.image is \"a b\": an image has no spaces"),
        ("metrics: {resources: {requests: {cpu: much}}}", "spec.metrics.resources.requests.cpu is \"much\""),
        ("auth: {secretName: My_Secret}", "spec.auth.secretName is \"My_Secret\""),
        ("auth: {secretKey: a/b}", "spec.auth.secretKey is \"a/b\""),
        ("imagePullSecrets: [{name: A}]", "spec.imagePullSecrets is \"A\""),
        ("priorityClassName: High", "spec.priorityClassName is \"High\""),
        ("serviceAccountName: 'a b'", "spec.serviceAccountName is \"a b\""),
    ] {
        let message = refusal(spec).to_string();
        assert!(message.starts_with(beginning), "{spec}: {message}");
    }
}

/// They go into the status, events and the log.
#[test]
fn messages_have_a_bound_and_no_control_characters() {
    let long = "ü".repeat(900);
    for spec in [
        format!("image: 'a {long}'"),
        format!("podLabels: {{'{long}': x}}"),
        format!("podLabels: {{a: '{long}'}}"),
        format!("imagePullSecrets: [{{name: '{long}'}}]"),
        format!("auth: {{secretKey: '{long}'}}"),
        format!("resources: {{limits: {{memory: '{long}'}}}}"),
        format!("persistence: {{size: '{long}'}}"),
        format!("podOverrides: {{'{long}': x}}"),
        format!("podOverrides: {{spec: {{hostNetwork: '{long}'}}}}"),
        format!("resources: {{limits: {{'{long}': 1}}}}"),
        "resources: {limits: {\"\\0\": 1}}".to_owned(),
        "podOverrides: {\"a\\0\\e[0m\": x}".to_owned(),
        "podOverrides: {spec: {hostNetwork: \"a\\0\\e[0m\"}}".to_owned(),
    ] {
        let message = refusal(&spec).to_string();
        assert!(message.chars().count() < 600 && !message.contains(char::is_control), "{message}");
    }
}

#[test]
fn ordinary_specs_are_accepted() {
    for spec in [
        "{}",
        "config: {client-output-buffer-limit: \"normal 0 0 0\\n\\tpubsub 0 0 0\"}",
        "config: {busy-reply-threshold: 4500}",
        "config: {maxmemory: 0}",
        "config: {maxmemory: 1mb}",
        "config: {client-output-buffer-limit: \"normal 0 0 0 replica 1 1 1\\npubsub 32kb 8kb 60\"}",
        "{config: {save: '900 1 300 10'}, persistence: {size: 1Gi, mode: RDB}}",
        "{config: {Save: \"900 1\\n300 10\\n\"}, persistence: {size: 1Gi, mode: RDBAndAOF}}",
        "{config: {busy-reply-threshold: 9000}, failover: {unresponsiveAfter: 10s}}",
        "failover: {unresponsiveAfter: 3s}",
        "podAnnotations: {note: 'any text, even ünicode'}",
        "resources: {requests: {cpu: 500m, memory: 0}}",
        "persistence: {size: 1.5Ti, storageClassName: fast}",
        "image: 'registry.example.com:5000/valkey/valkey:8.1@sha256:0123'",
    ] {
        cluster(spec);
    }
}
