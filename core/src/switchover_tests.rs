//! what a user requests is done, or refused with a reason, and comes to an end.

use std::time::Duration;

use super::*;
use crate::{
    Change, Contact, Failure, Outcome, Reason, TransitionKind,
    fixture::{healthy, name},
    plan,
};

const SECOND: Duration = Duration::from_secs(1);

fn refusal(o: &Observation) -> Option<String> {
    plan(o).steps.iter().find_map(|s| match s {
        Step::ResolveRequest { answer: Answer::Refused, note, .. } => Some(note.clone()),
        _ => None,
    })
}

fn asks(kind: RequestKind, to: &str) -> Observation {
    let mut o = healthy(3);
    o.settings.request = Some(Request { kind, to: Some(to.into()) });
    o.remembered(SECOND)
}

#[test]
fn a_request_that_names_nobody_is_refused_at_once() {
    for (kind, annotation) in [
        (RequestKind::Switchover, "redis.replication.dev/switchover-to"),
        (RequestKind::Failover, "redis.replication.dev/force-failover"),
    ] {
        for master in [true, false] {
            for (to, message) in [
                ("", format!("the annotation {annotation} has no value")),
                ("shop-9", "\"shop-9\" is not a member".into()),
            ] {
                let mut o = asks(kind, to);
                if !master {
                    o.kill(0);
                    o.member(1).server.contact = Contact::Refused { since: o.now };
                    o.member(2).server.contact = Contact::Refused { since: o.now };
                    o = o.remembered(SECOND);
                }
                let note = refusal(&o).unwrap_or_default();
                assert!(note.starts_with(&message), "{kind:?} {master} {to:?}: {note}");
                assert!(note.contains("shop-0, shop-1, shop-2, or any"), "{note}");
            }
        }
    }
}

/// It would wait for ever, and a later recovery would hand over when nobody expects it any more.
#[test]
fn a_request_whose_target_does_not_come_to_follow_is_given_up() {
    let mut o = asks(RequestKind::Switchover, "shop-1");
    o.detach(1);
    let message = "Bad file format reading the append only file".to_owned();
    o.member(1).pod.as_mut().unwrap().failure = Some(Failure { reason: Reason::DataDamaged, message });
    let o = o.remembered(SECOND);
    assert_eq!(refusal(&o), None);
    assert!(plan(&o).waiting_for(Topic::Switchover).is_some());
    let o = o.remembered(REQUEST_PATIENCE);
    let note = refusal(&o).unwrap_or_default();
    assert!(note.contains("shop-1 has not followed shop-0 with all data for 10 minutes (Bad file format"), "{note}");
    let mut another = o.clone();
    another.settings.request = Some(Request { kind: RequestKind::Switchover, to: None });
    assert_eq!(refusal(&another.remembered(SECOND)), None, "another request has a time of its own");
    let mut paused = asks(RequestKind::Switchover, "shop-1");
    paused.settings.paused = true;
    assert_eq!(paused.remembered(REQUEST_PATIENCE).memory.request_since, None, "it waits for the end of the pause");
}

/// No failover begins while the switchover is open.
#[test]
fn a_switchover_whose_target_cannot_be_read_is_given_up() {
    let mut o = healthy(3);
    o.fail_over(1);
    o.record.transition.as_mut().unwrap().kind = TransitionKind::Switchover;
    let server = &mut o.member(1).server;
    (server.info, server.silent_since) = (None, None); // its answers are errors
    server.problem = Some(Failure { reason: Reason::MembersMissing, message: "its answers cannot be used: x".into() });
    let o = o.remembered(SECOND);
    assert!(plan(&o).changes().is_empty() && plan(&o).waiting_for(Topic::Suspicion).is_some(), "{:?}", plan(&o));
    let o = o.remembered(Duration::from_secs(9));
    let p = plan(&o);
    let given_up = |c: &Change| match c {
        Change::Complete { outcome: Outcome::Abandoned, note } => Some(note.clone()),
        _ => None,
    };
    let note = p.changes().iter().find_map(given_up).unwrap_or_default();
    assert!(note.contains(&name(1)) && note.contains("10 s: its answers cannot be used"), "{p:?}");
}

/// What is known of it is old: writes would be held for nothing. What else is the matter with it is no reason.
#[test]
fn no_switchover_begins_to_a_member_whose_answers_cannot_be_used() {
    let mut o = asks(RequestKind::Switchover, "shop-1");
    let message = "it refuses the password that the Secret has now".into();
    o.member(1).server.problem = Some(Failure { reason: Reason::WrongPassword, message });
    assert!(plan(&o).begins().is_some(), "the operator is logged in with the former one");
    let long_ago = o.now.saturating_sub(READ_WITHIN);
    o.member(1).server.info.as_mut().unwrap().0 = long_ago;
    assert!(plan(&o).begins().is_none());
}
