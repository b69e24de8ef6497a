#![allow(clippy::unwrap_used)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::*;
use crate::{
    api::RedisReplicationStatus,
    redis::{FollowState, MemoryUse, Role},
    replication::{
        Contact,
        fixture::{NOW, healthy, name},
    },
};

fn key(name: &str) -> Key {
    Key { namespace: "web".into(), name: name.into() }
}

fn resource() -> RedisReplication {
    let mut resource = RedisReplication::new("shop", serde_json::from_str("{}").unwrap());
    let condition = |type_: &str, status: &str, reason: &str| Condition {
        type_: type_.into(),
        status: status.into(),
        reason: reason.into(),
        message: String::new(),
        observed_generation: None,
        last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
    };
    let conditions = vec![condition("Ready", "True", "Healthy"), condition("FailoverBlocked", "False", "NotBlocked")];
    resource.status = Some(RedisReplicationStatus { conditions, ..RedisReplicationStatus::default() });
    resource
}

/// A master with one replica that follows, 40 bytes behind, and one that copies.
fn observation() -> Observation {
    let mut o = healthy(3);
    let info = |o: &mut Observation, i: usize, change: &dyn Fn(&mut crate::redis::Info)| {
        change(&mut o.members.get_mut(&name(i)).unwrap().server.info.as_mut().unwrap().1);
    };
    info(&mut o, 0, &|i| {
        i.offset = 140;
        i.full_syncs = 2;
        i.memory = MemoryUse { used: Some(900), limit: Some(1000) };
        if let Role::Master(side) = &mut i.role {
            side.slaves.retain(|s| s.ip == "10.0.0.2");
        }
    });
    info(&mut o, 2, &|i| {
        i.replication_id = "another".into();
        if let Role::Replica(side) = &mut i.role {
            side.follow = FollowState::Syncing(Some(40));
        }
    });
    o
}

fn filled() -> Metrics {
    let metrics = Metrics::default();
    let o = observation();
    metrics.observed(&key("shop"), &o, &resource());
    metrics.transition_begins(&key("shop"), Cause::ProcessEnded);
    metrics.transition_ended(&key("shop"), TransitionKind::Failover, Outcome::Completed, Duration::from_millis(30));
    metrics.reconciled(Duration::from_millis(3), true);
    metrics
        .requests
        .get_or_create(&crate::kubernetes::client::RequestLabels { verb: "get", resource: "pods".into() })
        .inc();
    metrics
}

/// The series whose name begins so.
fn series(text: &str, name: &str) -> Vec<String> {
    text.lines().filter(|l| l.starts_with(name)).map(str::to_owned).collect()
}

#[test]
fn figures_of_a_resource_and_its_members() {
    let text = filled().text();
    for line in [
        "redis_replication_resources 1",
        r#"redis_replication_master_present{namespace="web",name="shop"} 1"#,
        r#"redis_replication_masters{namespace="web",name="shop"} 1"#,
        r#"redis_replication_epoch{namespace="web",name="shop"} 1"#,
        r#"redis_replication_members_wanted{namespace="web",name="shop"} 3"#,
        r#"redis_replication_replicas_online{namespace="web",name="shop"} 1"#,
        r#"redis_replication_condition{namespace="web",name="shop",condition="Ready"} 1"#,
        r#"redis_replication_condition{namespace="web",name="shop",condition="FailoverBlocked"} 0"#,
        r#"redis_replication_condition_reason{namespace="web",name="shop",condition="FailoverBlocked",reason="NotBlocked"} 1"#,
        r#"redis_replication_transitions_total{namespace="web",name="shop",kind="Failover",reason="ProcessEnded",outcome="Completed"} 1"#,
        r#"redis_replication_transition_duration_seconds_bucket{le="0.04",namespace="web",name="shop",kind="Failover"} 1"#,
        r#"redis_replication_member_verdict{namespace="web",name="shop",member="shop-1",verdict="alive"} 1"#,
        r#"redis_replication_member_verdict{namespace="web",name="shop",member="shop-1",verdict="hung"} 0"#,
        r#"redis_replication_member_offset_bytes{namespace="web",name="shop",member="shop-0"} 140.0"#,
        r#"redis_replication_member_lag_bytes{namespace="web",name="shop",member="shop-1"} 40.0"#,
        r#"redis_replication_member_link_up{namespace="web",name="shop",member="shop-1"} 1.0"#,
        r#"redis_replication_member_link_up{namespace="web",name="shop",member="shop-2"} 0.0"#,
        r#"redis_replication_member_sync_percent{namespace="web",name="shop",member="shop-2"} 40.0"#,
        r#"redis_replication_member_memory_used_bytes{namespace="web",name="shop",member="shop-0"} 900.0"#,
        r#"redis_replication_member_memory_limit_bytes{namespace="web",name="shop",member="shop-0"} 1000.0"#,
        r#"redis_replication_member_full_syncs_total{namespace="web",name="shop",member="shop-0"} 2"#,
        r#"redis_replication_api_requests_total{verb="get",resource="pods"} 1"#,
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\nis not in\n{text}");
    }
    // a member of another history is behind by nobody knows how much, and a master behind nobody
    assert_eq!(series(&text, "redis_replication_member_lag_bytes{").len(), 1);
    assert_eq!(series(&text, "redis_replication_member_verdict{").len(), 15);
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn every_name_has_the_prefix_a_type_and_help() {
    let text = filled().text();
    let described: Vec<_> = text.lines().filter_map(|l| l.strip_prefix("# HELP ")?.split_once(' ')).collect();
    assert!(described.len() >= 25, "{described:?}");
    for (name, help) in &described {
        assert!(name.starts_with("redis_replication_") && help.len() > 8, "{name}: {help}");
        assert!(text.contains(&format!("# TYPE {name} ")), "{name}");
    }
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        assert!(described.iter().any(|(d, _)| name.starts_with(d)), "{line}");
    }
}

/// docs/monitoring.md has a line for each metric, and for no other.
#[test]
fn the_list_in_the_documents_is_complete() {
    let page = include_str!("../../../docs/monitoring.md");
    let mut told: Vec<_> =
        page.lines().filter_map(|l| l.strip_prefix("| `redis_replication_")?.split(['`', '{']).next()).collect();
    told.sort_unstable();
    let text = filled().text();
    let types = text.lines().filter_map(|l| l.strip_prefix("# TYPE redis_replication_")?.split_once(' '));
    let mut made: Vec<_> =
        types.map(|(name, kind)| if kind == "counter" { format!("{name}_total") } else { name.to_owned() }).collect();
    made.sort_unstable();
    assert_eq!(told, made);
}

#[test]
fn what_cannot_be_decoded_is_counted_until_it_can_be() {
    let metrics = Metrics::default();
    assert!(series(&metrics.text(), "redis_replication_undecodable{").is_empty());
    metrics.faults.fake("RedisReplication", &key("shop"));
    let text = metrics.text();
    let line = r#"redis_replication_undecodable{namespace="web",name="shop",kind="RedisReplication"} 1"#;
    assert!(text.lines().any(|l| l == line), "{text}");
}

#[test]
fn nothing_is_said_of_a_resource_that_is_gone() {
    let metrics = filled();
    metrics.observed(&key("other"), &observation(), &resource());
    metrics.forget(&key("shop"));
    let text = metrics.text();
    assert!(!text.contains(r#"name="shop""#), "{text}");
    assert!(text.contains(r#"name="other""#), "{text}");
    assert!(text.contains("redis_replication_resources 1\n"), "{text}");
}

#[test]
fn nothing_is_said_of_a_member_that_is_gone() {
    let metrics = filled();
    let mut o = observation();
    o.members.remove("shop-2");
    o.members.get_mut("shop-1").unwrap().pod = None; // wanted, and not there yet
    metrics.observed(&key("shop"), &o, &resource());
    let text = metrics.text();
    assert!(text.contains(r#"member="shop-0""#), "{text}");
    assert!(!text.contains(r#"member="shop-1""#) && !text.contains(r#"member="shop-2""#), "{text}");
}

#[test]
fn of_a_member_that_does_not_answer_only_the_verdict_is_known() {
    let mut o = observation();
    o.members.get_mut("shop-1").unwrap().server.contact = Contact::Refused { since: NOW };
    o.members.get_mut("shop-1").unwrap().pod.as_mut().unwrap().running = false;
    let metrics = Metrics::default();
    metrics.observed(&key("shop"), &o, &resource());
    let text = metrics.text();
    assert!(text.contains(r#"member="shop-1",verdict="dead"} 1"#), "{text}");
    assert!(!text.contains(r#"_offset_bytes{namespace="web",name="shop",member="shop-1"#), "{text}");
}

#[test]
fn a_transition_that_another_process_began_has_an_unknown_reason() {
    let metrics = Metrics::default();
    metrics.transition_ended(&key("shop"), TransitionKind::Switchover, Outcome::Abandoned, Duration::from_secs(1));
    let text = metrics.text();
    assert!(text.contains(r#"kind="Switchover",reason="Unknown",outcome="Abandoned"} 1"#), "{text}");
}

/// A replica that has just come to the master has acknowledged nothing yet.
#[test]
fn lag_is_by_the_better_of_two_words() {
    for (acknowledged, own, behind) in [(0, 130, "10.0"), (120, 130, "10.0"), (135, 130, "5.0"), (150, 150, "0.0")] {
        let mut o = observation();
        let of = |o: &mut Observation, i: usize| o.members.get_mut(&name(i)).unwrap().server.info.take().unwrap();
        let (at, mut master) = of(&mut o, 0);
        if let Role::Master(side) = &mut master.role {
            side.slaves[0].offset = acknowledged;
        }
        o.members.get_mut(&name(0)).unwrap().server.info = Some((at, master));
        let (at, mut replica) = of(&mut o, 1);
        replica.offset = own;
        o.members.get_mut(&name(1)).unwrap().server.info = Some((at, replica));
        let metrics = Metrics::default();
        metrics.observed(&key("shop"), &o, &resource());
        let lag = series(&metrics.text(), "redis_replication_member_lag_bytes{");
        assert!(lag.len() == 1 && lag[0].ends_with(&format!(" {behind}")), "{acknowledged} {own}: {lag:?}");
    }
}

#[test]
fn counts_begin_at_zero() {
    let metrics = Metrics::default();
    metrics.observed(&key("shop"), &observation(), &resource());
    let counts = series(&metrics.text(), "redis_replication_transitions_total{");
    assert_eq!(counts.len(), 17);
    assert!(counts.iter().all(|line| line.ends_with(" 0")), "{counts:?}");
}

/// docs/monitoring.md lists what a change of master can be due to, by its kind.
#[test]
fn every_reason_is_listed_in_the_documents() {
    let page = include_str!("../../../docs/monitoring.md");
    let line = page.lines().find(|l| l.starts_with("| `redis_replication_transitions_total")).unwrap();
    let known: Vec<_> = super::cause::known().collect();
    for kind in [TransitionKind::Election, TransitionKind::Failover, TransitionKind::Switchover] {
        let listed = line.split(&format!("`{kind:?}` (")).nth(1).unwrap().split(')').next().unwrap();
        let mut listed: Vec<_> = listed.split(", ").map(|word| word.trim_matches('`')).collect();
        let mut reasons: Vec<_> = known.iter().filter(|(k, _)| *k == kind).map(|(_, reason)| *reason).collect();
        listed.sort_unstable();
        reasons.sort_unstable();
        assert_eq!(listed, reasons, "{kind:?}");
    }
}

#[test]
fn a_transition_is_counted_under_its_cause() {
    for cause in Cause::ALL {
        let metrics = Metrics::default();
        metrics.transition_begins(&key("shop"), cause);
        metrics.transition_ended(&key("shop"), cause.kind(), Outcome::Completed, Duration::from_secs(1));
        let text = metrics.text();
        let (kind, reason) = (cause.kind(), super::cause::label(Some(cause)));
        let line = format!(r#"kind="{kind:?}",reason="{reason}",outcome="Completed"}} 1"#);
        assert!(text.contains(&line), "{line}\nis not in\n{text}");
        if cause == Cause::TargetBehind {
            assert_eq!(reason, "Unknown");
        } else {
            assert_eq!(reason, format!("{cause:?}"));
        }
    }
}
