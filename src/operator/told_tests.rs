//! Which events are believed, and what is said of them.

#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;

/// An event as the kubelet and the controllers write it: minutes and seconds after 19:00.
fn event(at: &str, reason: &str, note: &str) -> Event {
    read(json!({"reason": reason, "note": note, "deprecatedLastTimestamp": format!("2026-11-27T19:{at}Z")}))
}

fn read(mut event: Value) -> Event {
    event["metadata"] = json!({"name": "e", "creationTimestamp": "2026-11-27T18:00:00Z"});
    event["eventTime"] = event["eventTime"].take();
    serde_json::from_value(event).unwrap()
}

fn now() -> Timestamp {
    "2026-11-27T19:30:00Z".parse().unwrap()
}

const QUOTA: &str = "create Pod shop-1 in StatefulSet shop failed error: pods \"shop-1\" is forbidden: exceeded quota: small, requested: pods=1";

#[test]
fn a_pod_that_the_api_server_refuses() {
    for (what, events, expected) in [
        ("nothing is known", vec![], None),
        ("a quota", vec![event("29:00", "FailedCreate", QUOTA)], Some("exceeded quota: small")),
        (
            "a service account",
            vec![event(
                "29:00",
                "FailedCreate",
                "Create Pod shop-1 in StatefulSet shop failed error: pods \"shop-1\" is forbidden: error looking up service account a/b",
            )],
            Some("error looking up service account a/b"),
        ),
        ("another pod's", vec![event("29:00", "FailedCreate", &QUOTA.replace("shop-1", "shop-10"))], None),
        (
            "made since",
            vec![
                event("28:00", "FailedCreate", QUOTA),
                event("29:00", "SuccessfulCreate", "create Pod shop-1 in StatefulSet shop successful"),
            ],
            None,
        ),
        (
            "another pod made since",
            vec![
                event("28:00", "FailedCreate", QUOTA),
                event("29:00", "SuccessfulCreate", "create Pod shop-0 in StatefulSet shop successful"),
            ],
            Some("exceeded quota"),
        ),
        (
            "made before",
            vec![
                event("29:00", "FailedCreate", QUOTA),
                event("28:00", "SuccessfulCreate", "create Pod shop-1 in StatefulSet shop successful"),
            ],
            Some("exceeded quota"),
        ),
        ("long ago", vec![event("09:00", "FailedCreate", QUOTA)], None),
    ] {
        let cause = of_absence("shop-1", &events, now());
        assert_eq!(cause.is_some(), expected.is_some(), "{what}: {cause:?}");
        if let (Some(cause), Some(words)) = (cause, expected) {
            assert_eq!(cause.reason, Reason::PodRefused);
            assert!(cause.message.starts_with("its pod cannot be created: pods \"shop-1\""), "{}", cause.message);
            assert!(cause.message.contains(words), "{what}: {}", cause.message);
        }
    }
}

#[test]
fn a_pod_that_does_not_start() {
    let mount = "MountVolume.SetUp failed for volume \"x\" : configmap \"nosuch\" not found";
    for (what, events, expected) in [
        ("nothing is known", vec![event("28:00", "Scheduled", "assigned to node1")], None),
        (
            "a mount",
            vec![event("29:00", "FailedMount", mount)],
            Some((Reason::VolumeUnavailable, "configmap \"nosuch\" not found")),
        ),
        ("mounted since", vec![event("28:00", "FailedMount", mount), event("29:00", "Pulling", "Pulling image")], None),
        (
            "an image was pulled before",
            vec![event("28:00", "Pulled", "image is there"), event("29:00", "FailedMount", mount)],
            Some((Reason::VolumeUnavailable, "nosuch")),
        ),
        (
            "an attachment",
            vec![event("29:00", "FailedAttachVolume", "Multi-Attach error for volume \"pvc-1\"")],
            Some((Reason::VolumeUnavailable, "Multi-Attach")),
        ),
        (
            "a sandbox",
            vec![event("29:00", "FailedCreatePodSandBox", "Failed to create pod sandbox: plugin type=\"x\" failed")],
            Some((Reason::PodFailsToStart, "plugin type=\"x\" failed")),
        ),
        ("a probe", vec![event("29:00", "Unhealthy", "Startup probe failed")], None),
    ] {
        let cause = of_start(&events);
        assert_eq!(cause.as_ref().map(|c| c.reason), expected.map(|(reason, _)| reason), "{what}: {cause:?}");
        if let (Some(cause), Some((_, words))) = (cause, expected) {
            assert!(
                cause.message.starts_with("its containers cannot be started: ") && cause.message.contains(words),
                "{}",
                cause.message
            );
        }
    }
}

/// The status is written when it changes, so it must not change with each event.
#[test]
fn the_same_situation_is_told_in_the_same_words() {
    let of = |volume: &str, at: &str| event(at, "FailedMount", &format!("volume {volume} is missing"));
    let one = of_start(&[of("a", "28:00"), of("b", "29:00")]).unwrap();
    let other = of_start(&[of("b", "28:00"), of("a", "29:00"), of("a", "28:30")]).unwrap();
    assert_eq!(one, other);
    assert!(one.message.ends_with("volume a is missing; volume b is missing"), "{}", one.message);
    let sandbox = |id: char, at: &str| {
        let id: String = std::iter::repeat_n(id, 64).collect();
        event(at, "FailedCreatePodSandBox", &format!("failed to setup network for sandbox \"{id}\": no route"))
    };
    let (a, b) = (of_start(&[sandbox('a', "28:00")]).unwrap(), of_start(&[sandbox('b', "29:00")]).unwrap());
    assert_eq!(a, b);
    assert!(a.message.ends_with("for sandbox \"…\": no route"), "{}", a.message);
}

#[test]
fn a_claim_without_a_volume() {
    let class = "storageclass.storage.k8s.io \"nosuch\" not found";
    let cause = of_claim("data-shop-1", &[event("29:00", "ProvisioningFailed", class)]).unwrap();
    assert_eq!(cause.reason, Reason::VolumeUnavailable);
    assert_eq!(cause.message, format!("its PersistentVolumeClaim data-shop-1 has no volume: {class}"));
    let none = "no persistent volumes available for this claim and no storage class is set";
    assert!(of_claim("c", &[event("29:00", "FailedBinding", none)]).unwrap().message.contains(none));
    assert_eq!(of_claim("c", &[event("29:00", "WaitForFirstConsumer", "waiting for first consumer")]), None);
    let both = [event("28:00", "ProvisioningFailed", class), event("29:00", "ProvisioningSucceeded", "made")];
    assert_eq!(of_claim("c", &both), None);
}

#[test]
fn when_an_event_was_last_seen() {
    for (event, expected) in [
        (json!({"eventTime": "2026-11-27T19:01:00.000000Z"}), "19:01"),
        (json!({"deprecatedLastTimestamp": "2026-11-27T19:02:00Z"}), "19:02"),
        (
            json!({"eventTime": "2026-11-27T19:01:00.000000Z", "series": {"count": 2, "lastObservedTime": "2026-11-27T19:03:00.000000Z"}}),
            "19:03",
        ),
        (json!({}), "18:00"),
    ] {
        assert!(last_seen(&read(event)).unwrap().to_string().contains(expected), "{expected}");
    }
}

#[test]
fn a_cause_is_told_once() {
    let failed = "MountVolume.SetUp failed for volume \"more\" : ";
    for (words, told) in [
        ("[configmap \"nope\" not found, configmap \"nope\" not found]", "[configmap \"nope\" not found]"),
        (
            "[configmap \"a\" not found, secret \"b\" not found, configmap \"a\" not found]",
            "[configmap \"a\" not found, secret \"b\" not found]",
        ),
        (
            "[configmap \"a\" not found, configmap \"a\" not found, secret \"b\" not found]",
            "[configmap \"a\" not found, secret \"b\" not found]",
        ),
        ("configmap \"nope\" not found", "configmap \"nope\" not found"),
        ("one, two, three", "one, two, three"),
    ] {
        assert_eq!(without_repetitions(&format!("{failed}{words}")), format!("{failed}{told}"));
    }
}
