//! The record in the status, and back: one inverts the other. Both name every field, so that one which is forgotten does not
//! compile.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::ResourceExt;

use crate::{
    api::{
        DataReplaced, MemberRole, MemberStatus, RedisReplication, RedisReplicationStatus, Transition,
        acknowledged_epoch,
    },
    replication::{Pending, Record, Recorded, Replaced},
};

/// The greatest epoch that is believed. Each failover adds one, so a greater one was written by hand, and would leave no room for
/// the next.
const MOST_EPOCHS: i64 = 1 << 48;

/// What the status has recorded, without data that was replaced and that a user has acknowledged.
pub fn of(resource: &RedisReplication) -> Record {
    let mut record = resource.status.as_ref().map(parse).unwrap_or_default();
    // what has not happened yet is not known to anybody
    let acknowledged = Some(acknowledged_epoch(resource.annotations())).filter(|epoch| *epoch <= record.epoch);
    record.replaced.take_if(|replaced| acknowledged.is_some_and(|epoch| replaced.epoch <= epoch));
    record
}

/// The epoch, or where somebody wrote nonsense over it, the last one that is told elsewhere in the status. It is 0 only before
/// there has been a master.
fn epoch(status: &RedisReplicationStatus) -> i64 {
    let believed = |epoch: &i64| (0..MOST_EPOCHS).contains(epoch);
    if believed(&status.epoch) {
        return status.epoch;
    }
    let last = status.last_transition.as_ref().map(|t| t.epoch);
    let replaced = status.data_replaced.as_ref().map(|r| r.epoch);
    let told = [last, replaced].into_iter().flatten().filter(believed).max();
    told.unwrap_or(0).max(i64::from(status.master.is_some() || status.transition.is_some()))
}

fn parse(status: &RedisReplicationStatus) -> Record {
    let epoch = epoch(status);
    let RedisReplicationStatus {
        observed_generation: _,
        master,
        epoch: _,
        replication_id,
        previous_replication_id,
        min_replicas_to_write,
        wait_replicas,
        transition,
        last_transition: _,
        data_replaced,
        members,
        replicas: _,
        ready_replicas: _,
        selector: _,
        conditions: _,
    } = status;
    Record {
        master: master.clone(),
        epoch,
        replication_id: replication_id.clone(),
        previous_replication_id: previous_replication_id.clone(),
        members: members.iter().filter_map(parse_member).collect(),
        min_replicas: usize::try_from(*min_replicas_to_write).unwrap_or(0),
        wait_replicas: usize::try_from(*wait_replicas).unwrap_or(0),
        transition: transition.as_ref().map(|Transition { epoch: opened, kind, phase, from, to, reason, since: _ }| {
            Pending {
                epoch: (*opened).min(epoch),
                kind: *kind,
                from: from.clone(),
                to: to.clone(),
                phase: *phase,
                reason: reason.clone(),
            }
        }),
        replaced: data_replaced.as_ref().map(|DataReplaced { epoch: of, master, reason, at: _ }| Replaced {
            epoch: (*of).min(epoch),
            master: master.clone(),
            reason: reason.clone(),
        }),
    }
}

fn parse_member(member: &MemberStatus) -> Option<(String, Recorded)> {
    let MemberStatus { name, role: _, phase: _, sync_percent: _, quorum_member, run_id, pod_uid, message: _ } = member;
    quorum_member.then(|| (name.clone(), Recorded { run_id: run_id.clone(), uid: pod_uid.clone() }))
}

/// A status that says what is recorded, and nothing else. What was there `before` keeps its times.
pub(super) fn write(record: &Record, before: &RedisReplicationStatus, now: Timestamp) -> RedisReplicationStatus {
    let Record {
        master,
        epoch,
        replication_id,
        previous_replication_id,
        members,
        min_replicas,
        wait_replicas,
        transition,
        replaced,
    } = record;
    RedisReplicationStatus {
        observed_generation: None,
        master: master.clone(),
        epoch: *epoch,
        replication_id: replication_id.clone(),
        previous_replication_id: previous_replication_id.clone(),
        min_replicas_to_write: super::count(*min_replicas),
        wait_replicas: super::count(*wait_replicas),
        transition: transition.as_ref().map(|t| write_transition(t, before, now)),
        last_transition: None,
        data_replaced: replaced.as_ref().map(|r| write_replaced(r, before, now)),
        members: write_members(members),
        replicas: 0,
        ready_replicas: 0,
        selector: String::new(),
        conditions: Vec::new(),
    }
}

fn write_transition(pending: &Pending, before: &RedisReplicationStatus, now: Timestamp) -> Transition {
    let Pending { epoch, kind, from, to, phase, reason } = pending;
    let before = before.transition.as_ref().filter(|t| t.epoch == *epoch);
    Transition {
        epoch: *epoch,
        kind: *kind,
        phase: *phase,
        from: from.clone(),
        to: to.clone(),
        reason: reason.clone(),
        since: before.map_or(MicroTime(now), |t| t.since.clone()),
    }
}

fn write_replaced(replaced: &Replaced, before: &RedisReplicationStatus, now: Timestamp) -> DataReplaced {
    let Replaced { epoch, master, reason } = replaced;
    let before = before.data_replaced.as_ref().filter(|r| r.epoch == *epoch);
    DataReplaced {
        epoch: *epoch,
        master: master.clone(),
        reason: reason.clone(),
        at: before.map_or(MicroTime(now), |r| r.at.clone()),
    }
}

fn write_members(members: &BTreeMap<String, Recorded>) -> Vec<MemberStatus> {
    members.iter().map(|(name, recorded)| write_member(name, Some(recorded))).collect()
}

/// A member of which nothing is known but what is recorded.
pub(super) fn write_member(name: &str, recorded: Option<&Recorded>) -> MemberStatus {
    let quorum_member = recorded.is_some();
    let Recorded { run_id, uid } = recorded.cloned().unwrap_or_default();
    MemberStatus {
        name: name.to_owned(),
        role: MemberRole::Unknown,
        phase: None,
        sync_percent: None,
        quorum_member,
        run_id,
        pod_uid: uid,
        message: None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        api::{TransitionKind, TransitionPhase},
        operator::registry::ReconcileReport,
        replication::{Observation, fixture, plan},
    };

    /// Of a change, or of an exchange; that of the record is not below them.
    const EPOCHS: std::ops::Range<i64> = 0..1 << 40;

    fn word() -> impl Strategy<Value = String> {
        "[ -~\u{e9}]{0,12}"
    }

    fn maybe<T: std::fmt::Debug>(of: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
        proptest::option::of(of)
    }

    fn pending() -> impl Strategy<Value = Pending> {
        let kinds = [TransitionKind::Election, TransitionKind::Failover, TransitionKind::Switchover];
        let phases = [TransitionPhase::Ending, TransitionPhase::Promoting];
        let chosen = (proptest::sample::select(kinds.to_vec()), proptest::sample::select(phases.to_vec()));
        (EPOCHS, chosen, maybe(word()), word(), word()).prop_map(|(epoch, (kind, phase), from, to, reason)| Pending {
            epoch,
            kind,
            from,
            to,
            phase,
            reason,
        })
    }

    fn records() -> impl Strategy<Value = Record> {
        let recorded = (maybe(word()), maybe(word())).prop_map(|(run_id, uid)| Recorded { run_id, uid });
        let replaced = (EPOCHS, word(), word());
        let replaced = replaced.prop_map(|(epoch, master, reason)| Replaced { epoch, master, reason });
        let members = proptest::collection::btree_map("[a-z0-9-]{1,20}", recorded, 0..10);
        let number = || 0..=usize::try_from(i32::MAX).unwrap();
        let ids = (maybe(word()), maybe(word()), maybe(word()));
        (ids, EPOCHS.end - 1..MOST_EPOCHS, members, (number(), number()), maybe(pending()), maybe(replaced)).prop_map(
            |((master, replication_id, previous_replication_id), epoch, members, numbers, transition, replaced)| {
                Record {
                    master,
                    epoch,
                    replication_id,
                    previous_replication_id,
                    members,
                    min_replicas: numbers.0,
                    wait_replicas: numbers.1,
                    transition,
                    replaced,
                }
            },
        )
    }

    fn resource(status: Option<RedisReplicationStatus>) -> RedisReplication {
        let mut resource: RedisReplication = serde_json::from_value(serde_json::json!({
            "apiVersion": "redis.replication.dev/v1alpha1", "kind": "RedisReplication",
            "metadata": { "name": "shop", "namespace": "default" }, "spec": { "replicas": 3 },
        }))
        .unwrap();
        resource.status = status;
        resource
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(record in records()) {
            let status = write(&record, &RedisReplicationStatus::default(), Timestamp::UNIX_EPOCH);
            prop_assert_eq!(&parse(&status), &record);
            let stored = serde_json::from_str(&serde_json::to_string(&status).unwrap()).unwrap();
            prop_assert_eq!(&parse(&stored), &record, "over the wire");
        }

        /// What is said beside it, of members that are there and of others, changes nothing of it.
        #[test]
        fn the_status_for_people_says_what_is_recorded(record in records()) {
            let o = Observation { record: record.clone(), ..fixture::healthy(3) };
            let status = super::super::describe(&o, &plan(&o), &resource(None), &ReconcileReport::default(), Timestamp::UNIX_EPOCH);
            prop_assert_eq!(&parse(&status), &record);
        }
    }

    #[test]
    fn nothing_is_recorded_without_a_status() {
        assert_eq!(of(&resource(None)), Record::default());
    }

    #[test]
    fn numbers_that_make_no_sense_promise_nothing() {
        let status = RedisReplicationStatus { min_replicas_to_write: -1, wait_replicas: -7, ..Default::default() };
        assert_eq!((parse(&status).min_replicas, parse(&status).wait_replicas), (0, 0));
    }

    /// A user can write to the status, and a greater epoch would be the last.
    #[test]
    fn an_epoch_that_makes_no_sense_is_replaced_by_the_last_one_told() {
        let told = |last: Option<i64>, master: Option<&str>| {
            let last = last.map(|epoch| {
                serde_json::json!({"epoch": epoch, "kind": "Failover", "to": "shop-1", "reason": "", "durationMs": 1,
                    "startedAt": "2026-11-27T19:00:00.000000Z", "outcome": "Completed"})
            });
            let status = serde_json::json!({"master": master, "lastTransition": last});
            serde_json::from_value::<RedisReplicationStatus>(status).unwrap()
        };
        for nonsense in [i64::MAX, i64::MAX - 1, MOST_EPOCHS, -1, i64::MIN] {
            let parsed = |last, master| {
                let mut status = told(last, master);
                status.epoch = nonsense;
                parse(&status).epoch
            };
            assert_eq!(parsed(Some(7), Some("shop-0")), 7);
            assert_eq!(parsed(None, Some("shop-0")), 1, "there has been a master");
            assert_eq!(parsed(Some(nonsense), Some("shop-0")), 1);
            assert_eq!(parsed(None, None), 0);
            let mut status = told(Some(7), Some("shop-0"));
            status.epoch = nonsense;
            let at = MicroTime(Timestamp::UNIX_EPOCH);
            status.data_replaced =
                Some(DataReplaced { epoch: nonsense, master: "m".into(), reason: String::new(), at });
            assert!(parse(&status).replaced.unwrap().epoch <= 7, "it can be acknowledged, and later ones are not");
        }
    }

    #[test]
    fn what_has_not_happened_is_not_acknowledged() {
        let mut record = Record { epoch: 4, ..Record::default() };
        record.replaced = Some(Replaced { epoch: 4, master: "shop-1".into(), reason: String::new() });
        let status = write(&record, &RedisReplicationStatus::default(), Timestamp::UNIX_EPOCH);
        let mut resource = resource(Some(status));
        for (value, stays) in [("3", true), ("4", false), ("5", true), ("9223372036854775807", true), ("x", true)] {
            let annotation = ("redis.replication.dev/acknowledged-epoch".to_owned(), value.to_owned());
            resource.metadata.annotations = Some([annotation].into());
            assert_eq!(of(&resource).replaced.is_some(), stays, "{value}");
        }
    }

    #[test]
    fn times_are_those_of_the_same_epoch() {
        let (first, later) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(60).unwrap());
        let mut record = Record {
            transition: Some(Pending {
                epoch: 2,
                kind: TransitionKind::Failover,
                from: None,
                to: "shop-1".into(),
                phase: TransitionPhase::Promoting,
                reason: String::new(),
            }),
            replaced: Some(Replaced { epoch: 2, master: "shop-1".into(), reason: String::new() }),
            ..Record::default()
        };
        let times = |status: &RedisReplicationStatus| {
            (status.transition.as_ref().unwrap().since.0, status.data_replaced.as_ref().unwrap().at.0)
        };
        let before = write(&record, &RedisReplicationStatus::default(), first);
        assert_eq!(times(&before), (first, first));
        assert_eq!(times(&write(&record, &before, later)), (first, first));
        record.transition.as_mut().unwrap().epoch = 3;
        record.replaced.as_mut().unwrap().epoch = 3;
        assert_eq!(times(&write(&record, &before, later)), (later, later));
    }
}
