#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::{
    Failure, OffsetStall, conditions::Reason, fixture::consistent, fixture::healthy, fixture::name, info::MasterSide,
    info::Role, plan,
};

const SECOND: Duration = Duration::from_secs(1);

impl Observation {
    fn pod(&mut self, i: usize) -> &mut Pod {
        self.member(i).pod.as_mut().unwrap()
    }

    /// Nothing changes for so long.
    fn goes_on(mut self, seconds: u64) -> Self {
        for _ in 0..=seconds {
            self.memory = self.memory.after(&self);
            self.now += SECOND;
            let now = self.now;
            for member in self.members.values_mut() {
                if let Some((at, _)) = &mut member.server.info {
                    *at = now;
                    member.server.offset_stall = Some(OffsetStall { since: now, until: now });
                }
                member.server.silent_since = None;
            }
        }
        self.memory = self.memory.after(&self);
        self
    }

    /// Its pod's container has not started.
    fn not_started(&mut self, i: usize) {
        let pod = self.pod(i);
        (pod.ran, pod.running, pod.ready, pod.ip) = (false, false, false, None);
        let member = self.member(i);
        member.server = crate::Server::default();
        self.unseen(i);
    }

    /// The master does not know it.
    fn unseen(&mut self, i: usize) {
        let address = crate::fixture::ip(i).to_string();
        if let Role::Master(side) = &mut self.info(0).role {
            side.slaves.retain(|s| s.ip != address);
        }
    }

    /// It runs, and gets no connection to the master.
    fn cannot_follow(&mut self, i: usize) {
        if let Role::Replica(side) = &mut self.info(i).role {
            side.follow = FollowState::Connecting;
        }
        self.pod(i).ready = false;
        self.unseen(i);
    }
}

fn restarts(o: &Observation) -> Vec<String> {
    let steps = plan(o).steps.into_iter();
    steps.filter_map(|s| if let Step::ReplacePod { member, .. } = s { Some(member) } else { None }).collect()
}

fn waits(o: &Observation) -> String {
    plan(o).waiting_for(Topic::Rollout).unwrap_or_default().to_owned()
}

fn all_outdated(n: usize) -> Observation {
    let mut o = healthy(n);
    (0..n).for_each(|i| o.pod(i).outdated = true);
    o
}

#[test]
fn replicas_are_replaced_one_by_one_and_each_has_to_stay_well() {
    let mut o = all_outdated(3).goes_on(1);
    assert_eq!(restarts(&o), [name(2)]);
    o.pod(2).uid = "new".into();
    o.pod(2).outdated = false;
    o.info(2).run_id = "new".into();
    let mut o = o.goes_on(1);
    assert_eq!(restarts(&o), [""; 0]);
    assert_eq!(waits(&o), "shop-1 waits to be replaced: shop-2 is new: it has to stay well for 10 s");
    o.record = o.record.after(plan(&o).changes()); // it has all data
    assert_eq!(o.recorded_run_id(&name(2)), Some("new"));
    assert_eq!(plan(&o).due, Some(o.memory.steady[&name(2)].since + STAYS_WELL));
    let mut o = o.goes_on(10);
    assert_eq!(restarts(&o), [name(1)]);
    o.pod(1).outdated = false;
    o.pod(1).uid = "newer".into();
    let o = o.goes_on(5);
    assert!(plan(&o).steps.iter().all(|s| matches!(s, Step::Refresh { .. })), "nor does the master hand over");
    assert!(waits(&o).starts_with("shop-0 waits to be replaced: shop-1 is new"), "{}", waits(&o));
    let o = o.goes_on(10);
    assert!(plan(&o).begins().is_some(), "{:?}", plan(&o));
}

/// It took over in the middle of a rollout.
#[test]
fn a_new_master_has_to_stay_well_too() {
    let mut o = all_outdated(3);
    o.pod(0).outdated = false;
    let o = o.goes_on(5);
    assert_eq!(restarts(&o), [""; 0]);
    assert!(waits(&o).contains("shop-0 is new: it has to stay well"), "{}", waits(&o));
    assert_eq!(restarts(&o.goes_on(10)), [name(2)]);
}

/// A process that ended meanwhile, or a container that has been started again, begins anew.
#[test]
fn one_that_has_crashed_has_to_stay_well_for_longer() {
    let mut o = all_outdated(3);
    o.pod(2).outdated = false;
    let mut o = o.goes_on(8);
    o.info(2).run_id = "again".into();
    let o = o.goes_on(8);
    assert_eq!(restarts(&o), [""; 0]);
    let mut again = o.clone();
    again.pod(2).restarts = 1;
    let again = again.goes_on(30);
    assert_eq!(restarts(&again), [""; 0]);
    assert!(waits(&again).contains("its container was started again, and it has to stay well for 60 s"));
    assert_eq!(restarts(&again.clone().goes_on(30)), [name(1)]);
    let mut beside = again.goes_on(29);
    beside.pod(2).restarts = 2; // of a container beside Redis, whose process is the same
    assert_eq!(restarts(&beside.goes_on(30)), [""; 0]);
    assert_eq!(restarts(&o.goes_on(4)), [name(1)]);
}

#[test]
fn what_has_never_run_is_replaced_at_once_whatever_the_others_do() {
    for master_lost in [false, true] {
        let mut o = healthy(3);
        for i in [1, 2] {
            o.not_started(i);
            o.pod(i).outdated = true;
            o.record.members.get_mut(&name(i)).unwrap().uid = Some("before".into());
        }
        if master_lost {
            o.kill(0);
        }
        assert_eq!(restarts(&o), [name(1), name(2)], "master lost: {master_lost}");
        o.pod(2).outdated = false;
        assert_eq!(restarts(&o), [name(1)]);
        o.record.members.get_mut(&name(1)).unwrap().uid = Some("uid-1".into());
        assert_eq!(restarts(&o), [""; 0], "the kubelet's word is old: it has run, and may hold the newest data");
    }
}

#[test]
fn those_that_do_not_follow_are_not_waited_for() {
    let mut o = all_outdated(3);
    o.cannot_follow(1);
    assert_eq!(restarts(&o.clone().goes_on(1)), [name(1)], "it comes before those that serve");
    o.cannot_follow(2);
    let o = o.goes_on(5);
    assert_eq!(restarts(&o), [""; 0], "their links may come about");
    assert!(waits(&o).contains("shop-2 waits to be replaced: shop-1 does not follow the master"), "{}", waits(&o));
    let o = o.goes_on(15);
    assert_eq!(restarts(&o), [name(1), name(2)]);
}

/// A password that the operator does not have: the kubelet and the master take both for well.
#[test]
fn those_that_the_operator_alone_does_not_reach_are_replaced_one_by_one() {
    let mut o = all_outdated(3);
    for i in [1, 2] {
        afflict(&mut o, i, Fault::WrongPassword);
    }
    assert_eq!(restarts(&o.goes_on(100)), [name(2)]);
}

#[test]
fn one_that_copies_or_whose_node_is_silent_is_waited_for() {
    let mut copies = all_outdated(3);
    copies.cannot_follow(1);
    copies.cannot_follow(2);
    let mut silent = copies.clone();
    for i in [1, 2] {
        if let Role::Replica(side) = &mut copies.info(i).role {
            side.follow = FollowState::Syncing(Some(50));
        }
        silent.cut(i, SECOND);
    }
    for (o, message) in [(copies, "copying the master's data"), (silent, "does not answer")] {
        let o = o.goes_on(100);
        assert_eq!(restarts(&o), [""; 0]);
        assert!(waits(&o).contains(message), "{}", waits(&o));
    }
}

#[test]
fn a_broken_template_is_named_with_its_cause_and_goes_no_further() {
    let mut o = all_outdated(3);
    o.not_started(2);
    o.pod(2).outdated = false;
    o.pod(2).failure = Some(Failure { reason: Reason::ImageUnavailable, message: "no such image".into() });
    let o = o.goes_on(1000);
    assert_eq!(restarts(&o), [""; 0]);
    let message = waits(&o);
    assert!(message.contains("shop-1 waits") && message.contains("shop-2 is not well: no such image"), "{message}");
    assert!(message.contains("once that is changed, it is replaced at once"), "{message}");
}

/// While the master's pod is being deleted its replicas are needed.
#[test]
fn a_master_that_leaves_hands_over_first() {
    let mut o = all_outdated(3);
    o.pod(0).outdated = false;
    o.pod(0).leaving = true;
    assert_eq!(restarts(&o.goes_on(60)), [""; 0]);
}

/// Those that could not follow for want of a master get their time when there is one.
#[test]
fn what_a_replica_did_not_do_without_a_master_is_not_held_against_it() {
    let mut o = all_outdated(3);
    for i in [1, 2] {
        o.cannot_follow(i);
    }
    let mut masterless = o.clone();
    masterless.kill(0);
    let masterless = masterless.goes_on(100);
    o.memory = masterless.memory.clone();
    o.now = masterless.now;
    let o = o.goes_on(5);
    assert_eq!(restarts(&o), [""; 0], "{:?}", o.memory.steady);
    assert_eq!(restarts(&o.goes_on(15)), [name(1), name(2)]);
}

/// Masters of the older template that crash in turn do not keep the new pod from having been well.
#[test]
fn a_change_of_master_is_not_held_against_a_new_pod() {
    let mut o = all_outdated(3);
    o.pod(2).outdated = false;
    let mut o = o.goes_on(8);
    let since = o.memory.steady[&name(2)].since;
    o.cannot_follow(2);
    let mut back = o.clone().goes_on(0);
    assert!(back.memory.steady[&name(2)].well);
    back.info(2).role = healthy(3).info(2).role.clone();
    back.pod(2).ready = true;
    assert_eq!(back.goes_on(1).memory.steady[&name(2)].since, since);
    assert!(!o.goes_on(4).memory.steady[&name(2)].well);
}

/// Without a master a process that has lost nothing may be the last that has everything.
#[test]
fn without_a_master_no_process_is_ended() {
    let mut o = all_outdated(3);
    o.kill(0);
    o.cannot_follow(1);
    o.pod(2).failure = Some(Failure { reason: Reason::RedisFailsToStart, message: String::new() });
    o.member(2).server.contact = Contact::HostSilent { since: Duration::ZERO };
    o.member(0).pod.as_mut().unwrap().outdated = false;
    assert_eq!(restarts(&o.goes_on(100)), [""; 0]);
}

/// One of many states that a pod may be in for ever.
#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    NotStarted,
    Ended,
    CannotFollow,
    Unlabelled,
    WrongPassword,
    Hung,
}

const FAULTS: [Fault; 7] = [
    Fault::None,
    Fault::NotStarted,
    Fault::Ended,
    Fault::CannotFollow,
    Fault::Unlabelled,
    Fault::WrongPassword,
    Fault::Hung,
];

fn afflict(o: &mut Observation, i: usize, fault: Fault) {
    match fault {
        Fault::None => {}
        Fault::NotStarted => o.not_started(i),
        Fault::Ended => {
            o.not_started(i);
            o.pod(i).ran = true;
        }
        Fault::CannotFollow => o.cannot_follow(i),
        Fault::Unlabelled => o.pod(i).role = None,
        Fault::WrongPassword => {
            let problem = Failure { reason: Reason::WrongPassword, message: "WRONGPASS".into() };
            let server = crate::Server { problem: Some(problem), ..Default::default() };
            o.member(i).server = server;
        }
        Fault::Hung => {
            o.cannot_follow(i);
            let server = &mut o.member(i).server;
            (server.info, server.contact) = (None, Contact::Closed { since: Duration::ZERO });
        }
    }
}

proptest! {
    /// While the master serves, a rollout replaces somebody, or it waits for a pod of the present template: never for one that
    /// waits to be replaced itself.
    #[test]
    fn a_rollout_goes_on_or_waits_for_what_is_not_waiting_itself(
        n in 2usize..6,
        outdated in proptest::collection::vec(any::<bool>(), 6),
        faults in proptest::collection::vec(0..FAULTS.len(), 6),
        k in 0usize..2,
    ) {
        let mut o = if k == 0 { healthy(n) } else { consistent(n, k) };
        for i in 0..n {
            o.pod(i).outdated = outdated[i];
            if i > 0 {
                afflict(&mut o, i, FAULTS[faults[i]]);
            }
        }
        let o = o.goes_on(120);
        let p = plan(&o);
        let replaced = restarts(&o);
        prop_assert!(replaced.iter().all(|n| is_outdated(&o, n) && *n != name(0)), "{:?}", p);
        let old = |i: usize| outdated[i];
        if !(0..n).any(old) {
            prop_assert!(replaced.is_empty() && p.waiting_for(Topic::Rollout).is_none());
            return Ok(());
        }
        let goes_on = !replaced.is_empty() || p.begins().is_some() || p.steps.iter().any(|s| matches!(s, Step::Label { .. }));
        let present_and_unwell: Vec<_> = (1..n).filter(|i| !old(*i) && !matches!(FAULTS[faults[*i]], Fault::None)).collect();
        let message = p.waiting_for(Topic::Rollout).unwrap_or_default();
        prop_assert!(goes_on || present_and_unwell.iter().any(|i| message.contains(&format!("{} ", name(*i)))), "{:?}", p);
        // none that readers have is taken from them while another is missing
        let serving = |n: &String| matches!(FAULTS[faults[o.ordinal(n)]], Fault::None);
        prop_assert!(replaced.iter().filter(|n| serving(n)).count() <= usize::from(present_and_unwell.is_empty()), "{:?}", p);
    }
}

#[test]
fn a_lone_member_is_replaced_without_waiting() {
    let mut o = all_outdated(1);
    o.info(0).role = Role::Master(MasterSide::default());
    assert_eq!(restarts(&o.goes_on(5)), [name(0)]);
}
