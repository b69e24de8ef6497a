#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::*;
use crate::{
    Contact, Role, Topic,
    fixture::{consistent, healthy, name},
    plan,
};

const SECOND: Duration = Duration::from_secs(1);

fn attach(o: &mut Observation, ip: &str) {
    let Role::Master(side) = &mut o.info(0).role else { unreachable!() };
    side.slaves.push(SlaveState { ip: ip.into(), state: "online".into(), offset: 100, lag: 0 });
}

fn detach_all_members(o: &mut Observation) {
    let Role::Master(side) = &mut o.info(0).role else { unreachable!() };
    side.slaves.retain(|s| s.ip == "10.9.9.9");
    for i in [1, 2] {
        o.detach(i);
    }
}

#[test]
fn members_are_no_outsiders() {
    let o = healthy(3);
    assert_eq!(outsiders(&o, &name(0), &o.members[&name(0)].server.info.as_ref().unwrap().1), Outsiders::default());
}

#[test]
fn one_that_is_no_member_is_disconnected() {
    let mut o = healthy(3);
    attach(&mut o, "10.9.9.9");
    let steps = plan(&o).steps;
    let expected = Step::DropReplicas { member: name(0), addresses: ["10.9.9.9".to_owned()].into() };
    assert!(steps.contains(&expected), "{steps:?}");
}

/// A member that the master lists under another address is never taken for one.
#[test]
fn where_addresses_are_translated_nobody_is_disconnected() {
    let mut o = healthy(3);
    let Role::Master(side) = &mut o.info(0).role else { unreachable!() };
    side.slaves[0].ip = "127.0.0.6".into();
    let o = o.remembered(SECOND);
    assert_eq!((plan(&o).steps, plan(&o).waits), (vec![], vec![]));
    let mut o = o;
    attach(&mut o, "127.0.0.6");
    assert!(!plan(&o).steps.iter().any(|s| matches!(s, Step::DropReplicas { .. })));
    assert_eq!(outsiders(&o, &name(0), &o.members[&name(0)].server.info.clone().unwrap().1).count, 1);
}

/// The master needs its members beside those that count and are none.
#[test]
fn the_fence_does_not_count_them() {
    let mut o = consistent(3, 1);
    attach(&mut o, "10.9.9.9");
    let fence = Step::SetMinReplicas { member: name(0), min_replicas: 2 };
    assert!(plan(&o).steps.contains(&fence), "{:?}", plan(&o).steps);
    assert_eq!(plan(&o).changes(), [], "what is promised stays the same");
    o.info(0).min_replicas = 2;
    assert!(!plan(&o).steps.iter().any(|s| matches!(s, Step::SetMinReplicas { .. })));
    let Role::Master(side) = &mut o.info(0).role else { unreachable!() };
    side.slaves.pop();
    let fence = Step::SetMinReplicas { member: name(0), min_replicas: 1 };
    assert!(plan(&o).steps.contains(&fence), "{:?}", plan(&o).steps);
}

#[test]
fn a_master_that_only_an_outsider_follows_is_alone() {
    let mut o = healthy(3);
    attach(&mut o, "10.9.9.9");
    detach_all_members(&mut o);
    let o = o.remembered(SECOND);
    let drops = |o: &Observation| plan(o).steps.iter().any(|s| matches!(s, Step::DropReplicas { .. }));
    assert!(drops(&o), "a member that does not follow explains nothing in the master's list: {:?}", plan(&o).steps);
    assert!(o.memory.without_replicas_since.is_some());
}

/// `WAIT 1` may have been confirmed by the outsider alone.
#[test]
fn a_quorum_does_not_rely_on_what_an_outsider_may_have_confirmed() {
    let fails_over = |o: &Observation| plan(o).begins().is_some();
    let master_dies = |mut o: Observation| {
        o.kill(0);
        o.member(0).server.contact = Contact::Refused { since: o.now };
        for i in [1, 2] {
            o.member(i).server.info.as_mut().unwrap().0 = o.now;
        }
        o.memory = o.memory.after(&o);
        o
    };
    assert!(fails_over(&master_dies(consistent(3, 1).remembered(SECOND))));
    let mut o = consistent(3, 1);
    attach(&mut o, "10.9.9.9");
    let attached = o.remembered(SECOND);
    let lost = master_dies(attached.clone());
    assert!(!fails_over(&lost), "{:?}", plan(&lost));
    let message = plan(&lost).waiting_for(Topic::Quorum).unwrap_or_default().to_owned();
    assert!(message.contains("no member"), "{message}");
    // it is gone, and the members have what was written before
    let mut o = attached;
    let Role::Master(side) = &mut o.info(0).role else { unreachable!() };
    side.slaves.pop();
    let o = o.remembered(SECOND).remembered(SECOND);
    assert_eq!(o.memory.outsiders, None);
    assert!(fails_over(&master_dies(o)));
}

/// As many members as are to confirm a write have to have what was written beside the outsider, with all that they had before.
#[test]
fn what_an_outsider_may_have_confirmed_is_waited_for_on_enough_members() {
    let after = |change: fn(&mut Observation)| {
        let mut o = consistent(4, 2);
        attach(&mut o, "10.9.9.9");
        let mut o = o.remembered(SECOND);
        assert!(o.memory.outsiders.is_some());
        let Role::Master(side) = &mut o.info(0).role else { unreachable!() };
        side.slaves.pop();
        o.info(0).offset = 200;
        for i in 1..4 {
            o.info(i).offset = 200;
        }
        change(&mut o);
        o.remembered(SECOND).remembered(SECOND).memory.outsiders.is_none()
    };
    assert!(after(|_| ()));
    assert!(after(|o| o.info(3).offset = 150), "two have it");
    assert!(!after(|o| (2..4).for_each(|i| o.info(i).offset = 150)), "one has it");
    assert!(!after(|o| (2..4).for_each(|i| o.detach(i))), "one follows");
    assert!(!after(|o| (2..4).for_each(|i| o.info(i).run_id = "another".into())), "two have lost what they had before");
    assert!(!after(|o| (2..4).for_each(|i| o.info(i).loading = true)), "two load their data");
}
