//! What the status says; and that it stays small whatever the members say.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::{ReconcileReport, describe};
use crate::{
    api::{Reason, RedisReplication},
    redis::{FollowState, MasterSide, Role},
    replication::{Contact, Failure, Member, Observation, Replaced, SILENT_AFTER, fixture, plan},
};

fn resource(replicas: usize) -> RedisReplication {
    serde_json::from_value(json!({
        "apiVersion": "redis.replication.dev/v1alpha1", "kind": "RedisReplication",
        "metadata": { "name": "shop", "namespace": "default" }, "spec": { "replicas": replicas },
    }))
    .unwrap()
}

/// It serves by the record, and its clients are told NOREPLICAS.
#[test]
fn a_master_without_enough_replicas_is_not_available() {
    let available = |o: &Observation| {
        let status = describe(o, &plan(o), &resource(3), &ReconcileReport::default(), Timestamp::UNIX_EPOCH);
        let condition = status.conditions.into_iter().find(|c| c.type_ == "MasterAvailable").unwrap();
        (condition.status, condition.reason, condition.message)
    };
    let mut o = fixture::consistent(3, 1);
    assert_eq!(available(&o).0, "True");
    let master = o.members.get_mut("shop-0").unwrap();
    master.server.info.as_mut().unwrap().1.role = Role::Master(MasterSide::default());
    o.memory.without_replicas_since = Some(o.now);
    assert_eq!(available(&o).0, "True", "for a moment, as after a failover");
    o.now += Duration::from_secs(3);
    let (status, reason, message) = available(&o);
    assert_eq!((status.as_str(), reason.as_str()), ("False", "WritesRefused"));
    assert!(message.contains("NOREPLICAS") && message.contains("0 replicas"), "{message}");
}

/// The connection ended, and every login is refused: that is not silence.
#[test]
fn a_master_that_lets_nobody_in_says_why() {
    for reason in [Reason::TooManyClients, Reason::WrongPassword] {
        let mut o = fixture::healthy(3);
        let master = &mut o.members.get_mut("shop-0").unwrap().server;
        (master.contact, master.info) = (Contact::Closed { since: o.now }, None);
        master.problem = Some(Failure { reason, message: "it says so".into() });
        let expected = ("False".to_owned(), reason.to_string(), "shop-0: it says so".to_owned());
        for condition in ["Ready", "MasterAvailable"] {
            assert_eq!(condition_of(&o, &resource(3), condition), expected);
        }
    }
}

#[test]
fn the_status_of_nine_members_that_say_as_much_as_they_may_is_small() {
    let resource = resource(9);
    let report = ReconcileReport::default();
    let longest = "x".repeat(64);
    for silent in [false, true] {
        let mut o = fixture::healthy(9);
        for (i, member) in o.members.values_mut().enumerate() {
            let (_, info) = member.server.info.as_mut().unwrap();
            info.previous_replication_id = Some(longest.clone());
            if i > 0 {
                info.run_id.clone_from(&longest);
            }
            info.offset = u64::MAX;
            // what a server says of its trouble is cut to 200 characters, of four bytes at most
            let message = format!("its answers cannot be used: {}", "\u{10ffff}".repeat(200));
            member.server.problem = Some(Failure { reason: Reason::MembersMissing, message });
            if silent {
                member.server.contact = Contact::Up;
                member.server.silent_since = Some(fixture::NOW.saturating_sub(SILENT_AFTER * 9));
            }
        }
        let status = describe(&o, &plan(&o), &resource, &report, Timestamp::UNIX_EPOCH);
        let longest = status.conditions.iter().map(|c| c.message.len()).max().unwrap();
        assert!(longest <= 9 * 1000, "{longest}: the API server refuses more than 32768");
        let bytes = serde_json::to_string(&status).unwrap().len();
        assert!(bytes < 64 * 1024, "{bytes} bytes");
    }
}

/// Of a condition: status, reason and message.
fn condition_of(o: &Observation, resource: &RedisReplication, type_: &str) -> (String, String, String) {
    let status = describe(o, &plan(o), resource, &ReconcileReport::default(), Timestamp::UNIX_EPOCH);
    let found = status.conditions.into_iter().find(|c| c.type_ == type_).unwrap();
    (found.status, found.reason, found.message)
}

/// `shop-1` does not answer, and has become what `change` makes of it. What `Ready` says then: the reason, and the words.
fn ready_when(change: impl Fn(&mut Member), expected: Reason, words: &[&str]) {
    let mut o = fixture::healthy(3);
    let member = o.members.get_mut("shop-1").unwrap();
    member.server.contact = Contact::None;
    member.server.info = None;
    change(member);
    let (_, reason, message) = condition_of(&o, &resource(3), "Ready");
    assert_eq!(reason, expected.to_string(), "{message}");
    for words in words {
        assert!(message.contains(words), "{words:?} is not in {message}");
    }
    let status = describe(&o, &plan(&o), &resource(3), &ReconcileReport::default(), Timestamp::UNIX_EPOCH);
    let said = status.members.iter().find(|m| m.name == "shop-1").and_then(|m| m.message.clone()).unwrap_or_default();
    assert!(message.contains(&said), "the member says {said:?}, and Ready {message:?}");
}

fn pod(member: &mut Member) -> &mut crate::replication::Pod {
    member.pod.as_mut().unwrap()
}

#[test]
fn a_member_that_is_not_there_says_why() {
    let silent = |m: &mut Member| pod(m).running = false;
    ready_when(silent, Reason::MembersMissing, &["shop-1 does not answer"]);
    ready_when(|m| m.pod = None, Reason::MembersMissing, &["shop-1: its pod has not been created yet"]);
    let told = |reason| Failure { reason, message: "Kubernetes' words".into() };
    let absent = |m: &mut Member| (m.pod, m.absent) = (None, Some(told(Reason::PodRefused)));
    ready_when(absent, Reason::PodRefused, &["shop-1: Kubernetes' words"]);
    let there_again = |m: &mut Member| m.absent = Some(told(Reason::PodRefused));
    ready_when(there_again, Reason::MembersMissing, &["shop-1 does not answer"]);
    let stage = |m: &mut Member| {
        (pod(m).running, pod(m).stage) = (false, Some("waits for a node".into()));
    };
    ready_when(stage, Reason::MembersMissing, &["shop-1: it waits for a node"]);
    let fails = |m: &mut Member| pod(m).failure = Some(told(Reason::VolumeUnavailable));
    ready_when(fails, Reason::VolumeUnavailable, &["shop-1: Kubernetes' words"]);
    let leaves = |m: &mut Member| {
        (pod(m).leaving, pod(m).stage, pod(m).running) = (true, Some("is being deleted".into()), false);
        pod(m).leaving_since = fixture::NOW.saturating_sub(Duration::from_secs(20));
    };
    ready_when(leaves, Reason::MembersMissing, &["shop-1: it is being deleted"]);
    let stays = |m: &mut Member| {
        leaves(m);
        pod(m).leaving_since = fixture::NOW.saturating_sub(Duration::from_secs(151));
    };
    ready_when(stays, Reason::MembersMissing, &["does not end: its node may be off", "kubectl describe pod"]);
}

#[test]
fn a_redis_that_only_the_kubelet_reaches_is_named_with_what_may_be_in_the_way() {
    let unreached = |contact: Contact, seconds: u64| {
        move |m: &mut Member| {
            pod(m).started = true;
            m.server.contact = contact;
            m.server.unreached_since = Some(fixture::NOW.saturating_sub(Duration::from_secs(seconds)));
        }
    };
    let since = fixture::NOW.saturating_sub(Duration::from_secs(8));
    for (contact, words) in [
        (Contact::None, "no connection comes about"),
        (Contact::Refused { since }, "the connection is refused"),
        (Contact::Closed { since }, "the connection is closed"),
        (Contact::HostSilent { since }, "there is no answer"),
    ] {
        let all = [
            "at 10.0.0.2, port 6379",
            words,
            "NetworkPolicy",
            "service mesh",
            "from the operator's namespace to port 6379",
        ];
        ready_when(unreached(contact, 8), Reason::MemberUnreachable, &all);
    }
    ready_when(unreached(Contact::None, 7), Reason::MembersMissing, &["shop-1 does not answer"]);
    let not_started = |m: &mut Member| {
        unreached(Contact::None, 60)(m);
        pod(m).started = false;
    };
    ready_when(not_started, Reason::MembersMissing, &["shop-1 does not answer"]);
}

/// The commands fit what there is: a master to copy from, a volume, a file that can be repaired.
#[test]
fn a_damaged_file_comes_with_commands() {
    let tail = "Bad file format reading the append only file appendonly.aof.1.incr.aof: make a backup";
    let newer = "Can't handle RDB format version 99";
    let manifest = "Unable to obtain the AOF file appendonly.aof.1.incr.aof length";
    let snapshot = "Short read or OOM loading DB. Unrecoverable error, aborting now.";
    let copy = "kubectl -n default delete pvc data-shop-1 --wait=false && kubectl -n default delete pod shop-1";
    for (words, persistent, served, expected) in [
        (tail, true, true, vec![copy]),
        (snapshot, true, true, vec![copy]),
        (newer, true, true, vec![copy]),
        (tail, false, true, vec!["replace it with: kubectl -n default delete pod shop-1"]),
        (
            tail,
            true,
            false,
            vec![
                "kubectl -n default debug shop-1 -i --image=docker.io/library/redis:8.0 --profile=restricted --custom=/dev/stdin",
                r#"echo '{"volumeMounts":[{"name":"data","mountPath":"/data"}]}' | "#,
                "--fix /data/appendonlydir/appendonly.aof.manifest",
                "&& kubectl -n default delete pod shop-1",
            ],
        ),
        (manifest, true, false, vec!["Put a backup", "mv /data/appendonlydir /data/appendonlydir.damaged"]),
        (snapshot, true, false, vec!["Put a backup", "mv /data/dump.rdb /data/dump.rdb.damaged"]),
        (newer, true, false, vec!["written by a newer version: go back to that in spec.image"]),
    ] {
        let mut resource = resource(3);
        resource.spec.image = "docker.io/library/redis:8.0".into();
        if persistent {
            resource.spec.persistence = serde_json::from_value(json!({"size": "1Gi"})).unwrap();
        }
        let mut o = fixture::healthy(3);
        o.settings.persistent = persistent;
        for (name, member) in &mut o.members {
            if name == "shop-1" || !served {
                (member.server.contact, member.server.info) = (Contact::None, None);
                pod(member).running = false;
            }
        }
        pod(o.members.get_mut("shop-1").unwrap()).failure =
            Some(Failure { reason: Reason::DataDamaged, message: words.into() });
        let (_, reason, message) = condition_of(&o, &resource, "Ready");
        assert_eq!(reason, "DataDamaged", "{message}");
        assert!(message.starts_with(&format!("shop-1: {words}. ")), "{message}");
        for words in expected {
            assert!(message.contains(words), "{words:?} is not in {message}");
        }
    }
}

#[test]
fn a_replica_that_the_master_drops_is_told_the_directive() {
    let mut o = fixture::healthy(2);
    let syncing = |o: &mut Observation, state: Option<&str>, closed: u64| {
        let master = &mut o.members.get_mut("shop-0").unwrap().server.info.as_mut().unwrap().1;
        (master.buffer_drops, master.full_syncs) = (closed, closed);
        if let Role::Master(side) = &mut master.role {
            side.slaves.truncate(usize::from(state.is_some()));
            side.slaves.iter_mut().for_each(|s| s.state = state.unwrap_or_default().into());
        }
        let replica = &mut o.members.get_mut("shop-1").unwrap().server.info.as_mut().unwrap().1;
        if let Role::Replica(side) = &mut replica.role {
            side.follow = FollowState::Syncing(None);
        }
        o.memory = o.memory.after(o);
        condition_of(o, &resource(2), "Ready")
    };
    assert_eq!(syncing(&mut o, Some("send_bulk"), 0).1, "Syncing");
    let (_, reason, message) = syncing(&mut o, Some("wait_bgsave"), 1);
    assert_eq!(reason, "OutputBufferTooSmall");
    assert!(
        message.starts_with("shop-1: the master drops it") && message.contains("client-output-buffer-limit"),
        "{message}"
    );
}

#[test]
fn data_that_was_exchanged_is_said_until_it_is_acknowledged() {
    let mut o = fixture::healthy(3);
    let mut resource = resource(3);
    assert_eq!(condition_of(&o, &resource, "Ready").1, "Healthy");
    assert_eq!(condition_of(&o, &resource, "DataIntact").0, "True");
    o.record.epoch = 7;
    o.record.replaced =
        Some(Replaced { epoch: 4, master: "shop-0".into(), reason: "shop-0 became the master without data".into() });
    let (status, reason, message) = condition_of(&o, &resource, "Ready");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "DataReplaced"), "it serves");
    let command = "kubectl -n default annotate rr shop --overwrite redis.replication.dev/acknowledged-epoch=4";
    assert!(message.contains("without data") && message.ends_with(command), "{message}");
    let (status, reason, message) = condition_of(&o, &resource, "DataIntact");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "DataReplaced"));
    assert!(message.ends_with(command), "{message}");
    let written = describe(&o, &plan(&o), &resource, &ReconcileReport::default(), Timestamp::UNIX_EPOCH);
    resource.status = Some(written);
    for (epoch, stays) in [("3", true), ("yes", true), ("", true), ("4", false), (" 7 ", false)] {
        let annotations = [("redis.replication.dev/acknowledged-epoch".to_owned(), epoch.to_owned())];
        resource.metadata.annotations = Some(annotations.into());
        o.record = super::record::of(&resource);
        let status = describe(&o, &plan(&o), &resource, &ReconcileReport::default(), Timestamp::UNIX_EPOCH);
        assert_eq!(status.data_replaced.is_some(), stays, "{epoch:?}");
    }
}

#[test]
fn a_pod_that_is_not_ready_is_named_after_a_while() {
    let mut o = fixture::healthy(3);
    let unready = pod(o.members.get_mut("shop-1").unwrap());
    (unready.ready, unready.unready) = (false, Some("its container proxy does not run".into()));
    unready.unready_since = fixture::NOW;
    assert_eq!(condition_of(&o, &resource(3), "Ready").1, "Healthy", "it may be about to be");
    o.now += Duration::from_secs(30);
    let (status, reason, message) = condition_of(&o, &resource(3), "Ready");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "PodNotReady"));
    assert!(message.contains("shop-1: its Redis is ready and its pod is not: its container proxy"), "{message}");
    let status = describe(&o, &plan(&o), &resource(3), &ReconcileReport::default(), Timestamp::UNIX_EPOCH);
    assert!(status.members[1].message.as_ref().unwrap().contains("container proxy"));
}

#[test]
fn a_lack_of_memory_is_said_while_everything_looks_well() {
    let mut o = fixture::healthy(3);
    let message = "the container redis needed more memory".to_owned();
    let failure = Failure { reason: Reason::OutOfMemory, message };
    pod(o.members.get_mut("shop-1").unwrap()).short_of_memory = Some(failure);
    let said = |o: &Observation| condition_of(o, &resource(3), "Ready");
    let (status, reason, message) = said(&o);
    assert_eq!((status.as_str(), reason.as_str()), ("True", "OutOfMemory"), "it works at the moment");
    assert!(message.starts_with("shop-1: the container redis"), "{message}");
    let replica = &mut o.members.get_mut("shop-1").unwrap().server.info.as_mut().unwrap().1;
    let Role::Replica(side) = &mut replica.role else { unreachable!() };
    side.follow = FollowState::Connecting;
    assert_eq!((said(&o).0.as_str(), said(&o).1.as_str()), ("False", "OutOfMemory"), "and now it does not");
    pod(o.members.get_mut("shop-1").unwrap()).outdated = true;
    assert_ne!(said(&o).1, "OutOfMemory", "the spec was changed, perhaps because of it");
}

#[test]
fn what_has_no_effect_is_said_beside_the_rest() {
    let mut resource = resource(3);
    resource.spec.failover = serde_json::from_value(json!({"preferredMaster": "shop-5"})).unwrap();
    let (status, reason, message) = condition_of(&fixture::healthy(3), &resource, "Ready");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "Healthy"));
    assert!(message.contains("2 replicas follow it; spec.failover.preferredMaster is \"shop-5\""), "{message}");
}
