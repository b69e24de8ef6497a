//! What the status says; and that it stays small whatever the members say.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::{ObjectsReport, describe};
use crate::{
    api::{Reason, RedisReplication},
    redis::{MasterSide, Role},
    replication::{Contact, Failure, Observation, SILENT_AFTER, fixture, plan},
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
        let status = describe(o, &plan(o), &resource(3), &ObjectsReport::default(), Timestamp::UNIX_EPOCH);
        let condition = status.conditions.into_iter().find(|c| c.type_ == "MasterAvailable").unwrap();
        (condition.status, condition.reason, condition.message)
    };
    let mut o = fixture::consistent(3, 1);
    assert_eq!(available(&o).0, "True");
    let master = o.members.get_mut("shop-0").unwrap();
    master.server.info.as_mut().unwrap().1.role = Role::Master(MasterSide::default());
    o.memory.lonely_since = Some(o.now);
    assert_eq!(available(&o).0, "True", "for a moment, as after a failover");
    o.now += Duration::from_secs(3);
    let (status, reason, message) = available(&o);
    assert_eq!((status.as_str(), reason.as_str()), ("False", "WritesRefused"));
    assert!(message.contains("NOREPLICAS") && message.contains("0 replicas"), "{message}");
}

#[test]
fn the_status_of_nine_members_that_say_as_much_as_they_may_is_small() {
    let resource = resource(9);
    let report = ObjectsReport::default();
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
