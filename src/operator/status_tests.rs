//! Whatever the members say, the status stays small.

#![allow(clippy::unwrap_used)]

use jiff::Timestamp;
use serde_json::json;

use super::{ObjectsReport, describe};
use crate::{
    api::{Reason, RedisReplication},
    replication::{Contact, Failure, SILENT_AFTER, fixture, plan},
};

#[test]
fn the_status_of_nine_members_that_say_as_much_as_they_may_is_small() {
    let resource: RedisReplication = serde_json::from_value(json!({
        "apiVersion": "redis.replication.dev/v1alpha1", "kind": "RedisReplication",
        "metadata": { "name": "shop", "namespace": "default" }, "spec": { "replicas": 9 },
    }))
    .unwrap();
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
