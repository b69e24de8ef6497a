//! Every sentence about a pod, and when it is not said.

#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::{Value, json};

use super::*;

fn pod(status: &Value) -> KubePod {
    let labels = json!({"controller-revision-hash": "a", "redis.replication.dev/role": "replica"});
    let limits = json!({"limits": {"memory": "256Mi"}});
    let spec = json!({
        "nodeName": "node-1",
        "initContainers": [{"name": "prepare", "image": "tools:1"}],
        "containers": [{"name": "redis", "image": "redis:9", "resources": limits}, {"name": "metrics", "image": "exporter:1"}],
    });
    serde_json::from_value(
        json!({"metadata": {"name": "cache-1", "uid": "u", "labels": labels}, "spec": spec, "status": status}),
    )
    .unwrap()
}

fn container(name: &str, state: &Value, last: &Value, restarts: i32) -> Value {
    json!({"name": name, "image": "docker.io/library/redis:9", "imageID": "", "ready": false, "restartCount": restarts,
        "state": state, "lastState": last})
}

fn redis(state: &Value, last: &Value, restarts: i32) -> Value {
    json!({"phase": "Running", "podIP": "10.0.0.7", "containerStatuses": [container("redis", state, last, restarts)]})
}

fn told(status: &Value) -> Option<(Reason, String)> {
    facts(&pod(status), None).failure.map(|f| (f.reason, f.message))
}

/// It is said for this reason, and with these words.
fn says(status: &Value, reason: Reason, words: &[&str]) {
    let (is, message) = told(status).unwrap_or_else(|| panic!("nothing is said of {status}"));
    assert_eq!(is, reason, "{message}");
    for words in words {
        assert!(message.contains(words), "{words:?} is not in {message}");
    }
}

fn ended(code: i32, reason: &str, message: &str, seconds: u32) -> Value {
    json!({"terminated": {"exitCode": code, "reason": reason, "message": message,
        "startedAt": "2026-11-27T19:00:00Z", "finishedAt": format!("2026-11-27T19:{:02}:{:02}Z", seconds / 60, seconds % 60)}})
}

fn waiting(reason: &str, message: &str) -> Value {
    json!({"waiting": {"reason": reason, "message": message}})
}

fn none() -> Value {
    json!({})
}

#[test]
fn a_running_pod() {
    let f = facts(&pod(&redis(&json!({"running": {}}), &none(), 0)), Some("a"));
    assert_eq!((f.running, f.started, f.outdated, f.role), (true, false, false, Some(RoleLabel::Replica)));
    assert_eq!((f.failure, f.stage), (None, None));
    assert_eq!(f.ip, Some("10.0.0.7".parse().unwrap()));
    assert!(f.ran);
    let new = facts(&pod(&none()), Some("b"));
    assert_eq!((new.outdated, new.ran, new.restarts), (true, false, 0));
    assert!(!facts(&pod(&none()), None).outdated);
    let mut answers = redis(&json!({"running": {}}), &none(), 0);
    answers["containerStatuses"][0]["started"] = json!(true);
    assert!(facts(&pod(&answers), None).started);
    answers["containerStatuses"][0]["state"] = none();
    assert!(!facts(&pod(&answers), None).started, "it was, before it ended");
}

#[test]
fn images() {
    let status = redis(&waiting("ImagePullBackOff", "no such image"), &none(), 0);
    says(
        &status,
        Reason::ImageUnavailable,
        &["the image redis:9 cannot be pulled: no such image", "check spec.image and"],
    );
    let status = json!({"initContainerStatuses": [container("prepare", &waiting("ErrImagePull", "not found"), &none(), 0)],
        "containerStatuses": [container("redis", &waiting("PodInitializing", ""), &none(), 0)]});
    says(
        &status,
        Reason::ImageUnavailable,
        &["the image tools:1 of the init container prepare", "not found", "check spec.podOverrides"],
    );
    let status = json!({"containerStatuses": [container("metrics", &waiting("InvalidImageName", ""), &none(), 0)]});
    says(
        &status,
        Reason::ImageUnavailable,
        &["exporter:1 of the container metrics", "InvalidImageName", "spec.metrics.image"],
    );
}

#[test]
fn memory() {
    let loop_ = waiting("CrashLoopBackOff", "back-off 10s");
    let oom = ended(137, "OOMKilled", "Killed\n", 3);
    says(
        &redis(&loop_, &oom, 1),
        Reason::OutOfMemory,
        &["more memory than its limit of 256Mi", "OOMKilled", "spec.resources.limits.memory", "maxmemory"],
    );
    says(&redis(&oom, &none(), 0), Reason::OutOfMemory, &["256Mi"]);
    says(&redis(&json!({"running": {}}), &oom, 1), Reason::OutOfMemory, &["256Mi"]);
    let status = json!({"containerStatuses": [container("metrics", &loop_, &oom, 1)]});
    says(
        &status,
        Reason::OutOfMemory,
        &["the container metrics", "no memory left", "spec.metrics.resources.limits.memory"],
    );
    let mut well = redis(&json!({"running": {}}), &oom, 1);
    well["containerStatuses"][0]["ready"] = json!(true);
    assert_eq!(told(&well), None, "it came back");
}

#[test]
fn exit_codes() {
    let loop_ = waiting("CrashLoopBackOff", "back-off");
    let running = json!({"running": {}});
    for (code, state, restarts, seconds, expected) in [
        (1, &loop_, 1, 0, Some("ends with code 1: Bad directive")),
        (1, &running, 1, 0, Some("ends with code 1: Bad directive")), // just started again, and not ready
        (137, &loop_, 1, 600, None),                                  // killed once, and the kubelet takes its time
        (137, &running, 1, 2, None),
        (143, &loop_, 2, 600, None),
        (137, &running, 9, 600, None), // now and then, in the course of months
        (137, &loop_, 3, 600, Some("again and again (exit code 137, SIGKILL)")),
        (137, &running, 3, 20, Some("again and again (exit code 137, SIGKILL)")),
        (143, &loop_, 3, 2, Some("again and again (exit code 143, SIGTERM)")),
        (0, &loop_, 2, 2, None),
        (0, &loop_, 3, 2, Some("without an error (exit code 0)")),
    ] {
        let last = ended(code, "Error", "*** FATAL ***\nBad directive\n", seconds);
        let message = told(&redis(state, &last, restarts));
        let words = expected.map(|words| words.replace("Bad directive", "*** FATAL *** | Bad directive"));
        match (&message, words) {
            (None, None) => {}
            (Some((Reason::RedisFailsToStart, message)), Some(words)) => assert!(message.contains(&words), "{message}"),
            other => panic!("code {code}, {restarts} restarts, {state}: {other:?}"),
        }
    }
    let status =
        json!({"initContainerStatuses": [container("prepare", &loop_, &ended(2, "Error", "no such file\n", 0), 1)]});
    says(&status, Reason::PodFailsToStart, &["the init container prepare ends with code 2: no such file"]);
    let done = json!({"initContainerStatuses": [container("prepare", &ended(0, "Completed", "", 1), &none(), 0)]});
    assert_eq!(told(&done), None);
    let status = json!({"containerStatuses": [container("metrics", &loop_, &ended(1, "Error", "no flag\n", 0), 1)]});
    says(&status, Reason::PodFailsToStart, &["the container metrics ends with code 1: no flag"]);
}

#[test]
fn a_damaged_file() {
    let words = "1:M 27 Nov 2026 19:21:18.102 # Bad file format reading the append only file x.aof: make a backup\n";
    let damaged = redis(&waiting("CrashLoopBackOff", ""), &ended(1, "Error", words, 0), 1);
    says(&damaged, Reason::DataDamaged, &["ends with code 1: Bad file format reading"]);
    let other = json!({"containerStatuses": [container("metrics", &none(), &ended(1, "Error", words, 0), 1)]});
    says(&other, Reason::PodFailsToStart, &[]);
}

#[test]
fn containers_that_cannot_be_made() {
    let refused = waiting("CreateContainerConfigError", "secret \"x\" not found");
    says(
        &redis(&refused, &none(), 0),
        Reason::RedisFailsToStart,
        &["the container redis does not start: secret \"x\" not found"],
    );
    let status = json!({"initContainerStatuses": [container("prepare", &waiting("RunContainerError", "no such program"), &none(), 0)]});
    says(&status, Reason::PodFailsToStart, &["the init container prepare does not start: no such program"]);
}

#[test]
fn nodes() {
    let status = json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes"}]});
    says(&status, Reason::Unschedulable, &["it finds no node: 0/3 nodes"]);
    let status = json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."});
    says(&status, Reason::PodFailsToStart, &["has ended the pod (Evicted): The node was low on resource: memory."]);
    says(&json!({"phase": "Running", "reason": "NodeLost"}), Reason::PodFailsToStart, &["(NodeLost): no reason given"]);
    assert_eq!(told(&json!({"phase": "Pending", "reason": "Other"})), None);
}

#[test]
fn what_is_being_deleted_does_not_fail() {
    let mut leaving = pod(&redis(&none(), &ended(1, "Error", "", 0), 5));
    leaving.metadata.deletion_timestamp = Some(serde_json::from_value(json!("2026-11-27T19:00:00Z")).unwrap());
    let f = facts(&leaving, None);
    assert_eq!((f.failure, f.stage.as_deref()), (None, Some("is being deleted")));
    leaving.metadata.finalizers = Some(vec!["example.com/hold".into()]);
    assert!(facts(&leaving, None).stage.unwrap().contains("finalizers (example.com/hold) keep it"));
    assert!(!has_not_begun(&leaving));
}

#[test]
fn stages() {
    let stage = |status: &Value| facts(&pod(status), None).stage.unwrap_or_default();
    let creating = container("redis", &waiting("ContainerCreating", ""), &none(), 0);
    let initializing = container("redis", &waiting("PodInitializing", ""), &none(), 0);
    assert!(stage(&json!({"containerStatuses": [creating]})).contains("are being prepared"));
    for (state, words) in [
        (json!({"running": {}}), "its init container prepare has not ended"),
        (waiting("PodInitializing", ""), "its init container prepare has not been started"),
        (ended(0, "Completed", "", 1), "are being prepared"),
    ] {
        for started in [false, true] {
            let mut init = container("prepare", &state, &none(), 0);
            init["started"] = json!(started); // a kubelet says it of one that runs
            let status = json!({"initContainerStatuses": [init], "containerStatuses": [initializing]});
            assert!(stage(&status).contains(words), "{status}: {}", stage(&status));
        }
    }
    let mut beside = container("prepare", &json!({"running": {}}), &none(), 0);
    beside["started"] = json!(true);
    let mut beside = pod(&json!({"initContainerStatuses": [beside], "containerStatuses": [initializing]}));
    beside.spec.as_mut().unwrap().init_containers.as_mut().unwrap()[0].restart_policy = Some("Always".into());
    assert!(facts(&beside, None).stage.unwrap().contains("are being prepared"), "it goes on beside Redis");
    assert!(
        stage(&redis(&waiting("CrashLoopBackOff", ""), &ended(137, "Error", "", 9), 1))
            .contains("is being started again")
    );
    assert!(stage(&redis(&ended(137, "Error", "", 9), &none(), 0)).contains("is being started again"));
    let mut unscheduled = pod(&none());
    unscheduled.spec.as_mut().unwrap().node_name = None;
    assert_eq!(facts(&unscheduled, None).stage.unwrap(), "waits for a node");
}

/// Whose events are worth reading.
#[test]
fn what_has_not_begun() {
    let asks = |status: &Value| has_not_begun(&pod(status));
    let creating = container("redis", &waiting("ContainerCreating", ""), &none(), 0);
    let initializing = container("redis", &waiting("PodInitializing", ""), &none(), 0);
    assert!(asks(&json!({"phase": "Pending"})) && asks(&json!({"phase": "Pending", "containerStatuses": [creating]})));
    let init = |state: &Value| json!({"phase": "Pending", "containerStatuses": [initializing], "initContainerStatuses": [container("prepare", state, &none(), 0)]});
    assert!(asks(&init(&waiting("PodInitializing", ""))));
    assert!(!asks(&init(&waiting("ImagePullBackOff", ""))), "its status says it");
    assert!(!asks(&init(&json!({"running": {}}))));
    assert!(!asks(&redis(&json!({"running": {}}), &none(), 0)));
    assert!(!asks(&redis(&waiting("CrashLoopBackOff", ""), &none(), 3)));
}

/// A container beside Redis that ends again and again is no good template either.
#[test]
fn all_restarts_count() {
    let status = json!({
        "initContainerStatuses": [container("prepare", &json!({"running": {}}), &none(), 2)],
        "containerStatuses": [container("redis", &json!({"running": {}}), &none(), 1), container("metrics", &json!({"running": {}}), &none(), 3)],
    });
    assert_eq!(facts(&pod(&status), None).restarts, 6);
}

/// Redis is ready, and the pod is not.
#[test]
fn what_keeps_a_pod_from_being_ready_is_named() {
    let unready = |change: &dyn Fn(&mut Value, &mut Value)| {
        let mut status = redis(&json!({"running": {}}), &none(), 0);
        status["containerStatuses"][0]["ready"] = json!(true);
        status["conditions"] = json!([{"type": "Ready", "status": "False"}]);
        let mut pod = serde_json::to_value(pod(&status)).unwrap();
        let mut spec = pod["spec"].take();
        change(&mut spec, &mut status);
        (pod["spec"], pod["status"]) = (spec, status);
        facts(&serde_json::from_value(pod).unwrap(), None).unready
    };
    let running = json!({"running": {}});
    let beside = |state: Value| {
        move |_: &mut Value, status: &mut Value| {
            status["containerStatuses"].as_array_mut().unwrap().push(container("proxy", &state, &none(), 0));
        }
    };
    let said = unready(&beside(running.clone()));
    assert_eq!(said.as_deref(), Some("its container proxy runs, and its readiness probe does not succeed"));
    assert_eq!(unready(&beside(waiting("X", ""))).as_deref(), Some("its container proxy does not run"));
    let sidecar = |policy: &'static str| {
        move |spec: &mut Value, status: &mut Value| {
            spec["initContainers"] = json!([{"name": "mesh", "image": "mesh:1", "restartPolicy": policy}]);
            status["initContainerStatuses"] = json!([container("mesh", &json!({"running": {}}), &none(), 0)]);
        }
    };
    assert!(unready(&sidecar("Always")).unwrap().contains("container mesh runs"));
    assert_eq!(unready(&sidecar("Never")), None, "it is no part of the pod's readiness");
    let gate = |is: Option<&'static str>| {
        move |spec: &mut Value, status: &mut Value| {
            spec["readinessGates"] = json!([{"conditionType": "example.com/wired"}]);
            if let Some(is) = is {
                status["conditions"].as_array_mut().unwrap().push(json!({"type": "example.com/wired", "status": is}));
            }
        }
    };
    for is in [None, Some("False"), Some("Unknown")] {
        assert!(unready(&gate(is)).unwrap().contains("example.com/wired, which is a readiness gate"), "{is:?}");
    }
    assert_eq!(unready(&gate(Some("True"))), None);
    let ready = |_: &mut Value, status: &mut Value| status["conditions"][0]["status"] = json!("True");
    assert_eq!(unready(&ready), None);
    let redis_is_not = |_: &mut Value, status: &mut Value| status["containerStatuses"][0]["ready"] = json!(false);
    assert_eq!(unready(&redis_is_not), None, "that is said otherwise");
}

#[test]
fn a_kill_for_want_of_memory_is_remembered_for_a_while() {
    let at = |seconds| "2026-11-27T19:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds);
    for (reason, seconds, expected) in
        [("OOMKilled", 10, true), ("OOMKilled", 599, true), ("OOMKilled", 601, false), ("Error", 10, false)]
    {
        for (name, init) in [("redis", false), ("prepare", true), ("metrics", false)] {
            let one = container(name, &json!({"running": {}}), &ended(137, reason, "", 0), 1);
            let list = if init { "initContainerStatuses" } else { "containerStatuses" };
            let found = short_of_memory(&pod(&json!({ (list): [one] })), at(seconds));
            assert_eq!(found.is_some(), expected, "{name} {reason} {seconds}");
            assert!(found.is_none_or(|f| f.reason == Reason::OutOfMemory && f.message.contains(name)));
        }
    }
}
