//! The real planner against a small simulated world: three members, a client that writes, and everything that can go
//! wrong in any order. Redis' part follows replication.c: histories have ids, a promoted replica continues its former
//! master's, a replica that cannot continue takes a full copy, one whose master is no master keeps its data.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::cast_possible_truncation)]

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use proptest::prelude::*;

use super::{
    Contact, Demotion, HOLD, Hold, Member, Memory, Moment, Observation, Pending, Plan, Pod, Record, RoleLabel, Server,
    Settings, Step, demotion_over, plan,
};
use crate::{
    api::{Outcome, TransitionKind},
    redis::{FollowState, Info, MasterSide, ReplicaSide, Role},
};

const N: usize = 3;

#[derive(Clone, Debug)]
struct Redis {
    run: u64,
    master: bool,
    follows: Option<usize>,
    id: u64,
    previous: Option<(u64, usize)>,
    data: Vec<u32>,
    held_until: Option<Moment>,
}

#[derive(Clone, Debug)]
struct Slot {
    pod: u64,
    leaving: bool,
    outdated: bool,
    label: Option<RoleLabel>,
    redis: Option<Redis>,
    /// What the operator's connection has seen of the present pod.
    contact: Contact,
    reachable: bool,
}

#[derive(Clone, Debug)]
struct World {
    now: Moment,
    next: u64,
    slots: Vec<Slot>,
    record: Record,
    route: Option<String>,
    memory: Memory,
    acknowledged: u32,
    promoted: BTreeMap<i64, String>,
    full_syncs: usize,
}

/// Something that happens.
#[derive(Clone, Copy, Debug)]
enum Event {
    Write,
    Replicate,
    Round { cut_after: usize },
    Kill(usize),
    Restart(usize),
    Delete(usize),
    Outdate,
    Unreachable(usize, bool),
    OperatorCrash,
    HandPromote(usize),
    HandFollow(usize, usize),
    Later(u16),
}

fn name(i: usize) -> String {
    format!("shop-{i}")
}
fn index(name: &str) -> usize {
    name.trim_start_matches("shop-").parse().unwrap()
}
fn ip(i: usize) -> IpAddr {
    format!("10.0.0.{}", i + 1).parse().unwrap()
}

impl World {
    fn new() -> Self {
        let mut w = Self {
            now: Duration::from_secs(1),
            next: 1,
            slots: Vec::new(),
            record: Record::default(),
            route: None,
            memory: Memory::default(),
            acknowledged: 0,
            promoted: BTreeMap::new(),
            full_syncs: 0,
        };
        for _ in 0..N {
            let pod = w.fresh();
            let redis = Some(w.boot());
            w.slots.push(Slot {
                pod,
                leaving: false,
                outdated: false,
                label: None,
                redis,
                contact: Contact::Up,
                reachable: true,
            });
        }
        w.calm();
        w
    }

    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// The boot rule: a replica of nobody, and without a disk it is empty.
    fn boot(&mut self) -> Redis {
        let (run, id) = (self.fresh(), self.fresh());
        Redis { run, master: false, follows: None, id, previous: None, data: Vec::new(), held_until: None }
    }

    fn link_up(&self, i: usize) -> bool {
        let follows = self.slots[i].redis.as_ref().and_then(|r| r.follows);
        follows.is_some_and(|m| m != i && self.slots[m].redis.as_ref().is_some_and(|r| r.master))
    }

    fn observe(&self) -> Observation {
        let members = self.slots.iter().enumerate().map(|(i, s)| {
            let pod = Pod {
                uid: s.pod.to_string(),
                ip: Some(ip(i)),
                leaving: s.leaving,
                leaving_since: Duration::ZERO,
                running: s.redis.is_some(),
                ready: true,
                outdated: s.outdated,
                role: s.label,
                failure: None,
            };
            let info = s.redis.as_ref().filter(|_| s.reachable).map(|r| {
                let role = if r.master {
                    Role::Master(MasterSide::default())
                } else {
                    let host = r.follows.map_or("127.0.0.1".into(), |m| ip(m).to_string());
                    let port = if r.follows.is_some() { 6379 } else { 1 };
                    let follow = if self.link_up(i) { FollowState::Online } else { FollowState::Connecting };
                    Role::Replica(ReplicaSide { master_host: host, master_port: port, follow })
                };
                let info = Info {
                    run_id: r.run.to_string(),
                    version: String::new(),
                    replication_id: r.id.to_string(),
                    previous_replication_id: r.previous.map(|(id, _)| id.to_string()),
                    offset: r.data.len() as u64,
                    loading: false,
                    loading_percent: None,
                    keys: r.data.len() as u64,
                    full_syncs: 0,
                    role,
                };
                (self.now, info)
            });
            let last_answer = info.as_ref().map(|(at, _)| *at);
            let contact = if s.redis.is_some() && s.reachable { Contact::Up } else { s.contact };
            let server = Server { contact, info, last_answer, problem: None };
            (name(i), Member { pod: Some(pod), server, claim_may_hold_data: false })
        });
        Observation {
            now: self.now,
            settings: Settings { name: "shop".into(), replicas: N, ..Settings::default() },
            record: self.record.clone(),
            members: members.collect(),
            stirred_at: Duration::ZERO,
            route: Some(self.route.clone()),
            memory: self.memory.clone(),
        }
    }

    fn serving(&self) -> bool {
        let granted = self.record.transition.as_ref().map(|t| t.to.clone()).or(self.record.master.clone());
        granted.is_some_and(|m| self.slots[index(&m)].redis.as_ref().is_some_and(|r| r.master))
    }

    /// One round of the operator, which dies after `cut_after` steps.
    fn round(&mut self, cut_after: usize) -> Plan {
        if self.serving() {
            self.memory.masterless_since = None;
        } else {
            self.memory.masterless_since.get_or_insert(self.now);
        }
        let runs: Vec<_> = self.slots.iter().map(|s| s.redis.as_ref().map(|r| r.run.to_string())).collect();
        self.memory.demoted.retain(|n, d| runs[index(n)].as_ref() == Some(&d.run_id) && !demotion_over(d));
        let o = self.observe();
        let p = plan(&o);
        assert_eq!(p, plan(&o.clone()), "the same facts give the same plan");
        for (i, step) in p.steps.iter().enumerate() {
            if i >= cut_after {
                self.memory = Memory::default();
                return p;
            }
            self.take(&o, step);
        }
        if p.steps.is_empty() {
            self.record_caught_up(&o);
        }
        p
    }

    /// The status at rest: the processes of those that have all the data.
    fn record_caught_up(&mut self, o: &Observation) {
        for (n, m) in &o.members {
            let Some((_, i)) = &m.server.info else { continue };
            let master = self.record.master.as_ref() == Some(n);
            if i.replica().is_some_and(|r| r.follow == FollowState::Online) {
                self.record.run_ids.insert(n.clone(), i.run_id.clone());
            }
            if master && i.is_master() && self.record.transition.is_none() && o.is_recorded_process(n, i) {
                self.record.replication_id = Some(i.replication_id.clone());
            }
        }
    }

    fn redis(&mut self, member: &str) -> Option<&mut Redis> {
        let slot = &mut self.slots[index(member)];
        if slot.reachable { slot.redis.as_mut() } else { None }
    }

    fn take(&mut self, o: &Observation, step: &Step) {
        let now = self.now;
        match step {
            Step::Look { .. } => {}
            Step::Begin { epoch, kind, from, to, reason } => {
                assert_eq!(*epoch, self.record.epoch + 1, "I1: epochs only grow, one by one");
                let info = &o.members[to].server.info.as_ref().unwrap().1;
                if *kind != TransitionKind::Switchover {
                    self.assert_best(o, to, info);
                }
                self.record.epoch = *epoch;
                self.record.run_ids.insert(to.clone(), info.run_id.clone());
                let (kind, from, to, reason) = (*kind, from.clone(), to.clone(), reason.clone());
                self.record.transition = Some(Pending { epoch: *epoch, kind, from, to, reason });
            }
            Step::Close { outcome, .. } => {
                let t = self.record.transition.take().expect("only a transition can be closed");
                if *outcome == Outcome::Completed {
                    assert_eq!(self.route.as_ref(), Some(&t.to), "closed only when the Service names the new master");
                    self.record.replication_id =
                        o.members[&t.to].server.info.as_ref().map(|(_, i)| i.replication_id.clone());
                    self.record.master = Some(t.to);
                } else {
                    self.memory.abandoned_at = Some(now);
                }
                self.memory.hold = None;
            }
            Step::Promote { member } => self.promote(member),
            Step::Freeze { member, offset, .. } => {
                let until_now = now;
                if let Some(r) = self.redis(member) {
                    (r.master, r.follows) = (false, None);
                    let run_id = r.run.to_string();
                    let d = Demotion { run_id, at: until_now, offset: *offset, dropped: 0 };
                    self.memory.demoted.insert(member.clone(), d);
                }
            }
            Step::Follow { member, master, .. } => {
                let granted = [self.record.master.clone(), self.record.transition.as_ref().map(|t| t.to.clone())];
                assert!(granted.contains(&Some(master.clone())), "I8: {member} follows {master}, whom nobody recorded");
                let target = index(master);
                if let Some(r) = self.redis(member) {
                    (r.master, r.follows) = (false, Some(target));
                }
            }
            Step::HoldWrites { member } => {
                if let Some(r) = self.redis(member) {
                    r.held_until = Some(now + HOLD);
                    let run_id = r.run.to_string();
                    self.memory.hold = Some(Hold { member: member.clone(), run_id, since: now, until: now + HOLD });
                }
            }
            Step::ReleaseWrites { member } => {
                if let Some(r) = self.redis(member) {
                    r.held_until = None;
                }
                self.memory.hold = None;
            }
            Step::DropClients { member } => {
                if let Some(r) = self.redis(member) {
                    r.held_until = None;
                }
                if let Some(d) = self.memory.demoted.get_mut(member) {
                    d.dropped += 1;
                }
            }
            Step::Route { to } => {
                let granted = [self.record.master.clone(), self.record.transition.as_ref().map(|t| t.to.clone())];
                assert!(granted.contains(&Some(to.clone())), "I7: the Service names {to}, whom nobody recorded");
                self.route = Some(to.clone());
                self.memory.routed_at = Some(now);
            }
            Step::Label { member, role } => self.slots[index(member)].label = Some(*role),
            Step::Restart { member, .. } => {
                let others = (0..N).filter(|i| *i != index(member)).all(|i| self.link_up(i) || self.is_master(i));
                assert!(others, "{member} is replaced while another member does not follow");
                self.slots[index(member)].leaving = true;
            }
        }
    }

    fn is_master(&self, i: usize) -> bool {
        self.slots[i].redis.as_ref().is_some_and(|r| r.master)
    }

    /// I5: nobody who answers, and whose process is known to have lost nothing, has more of the recorded history.
    fn assert_best(&self, o: &Observation, to: &str, chosen: &Info) {
        let Some(id) = &self.record.replication_id else { return };
        let survivors = o.members.iter().filter_map(|(n, m)| {
            let (_, i) = m.server.info.as_ref()?;
            (o.is_recorded_process(n, i) && i.descends_from(id)).then_some((n, i))
        });
        for (n, i) in survivors {
            assert!(
                chosen.descends_from(id) && i.offset <= chosen.offset,
                "I5: {to} at {} was chosen, and {n} is at {}",
                chosen.offset,
                i.offset
            );
        }
        // I13: never an empty one while another has data, unless it is known to have lost nothing
        let survivor = o.is_recorded_process(to, chosen) && chosen.descends_from(id);
        let data = o.members.values().filter_map(|m| m.server.info.as_ref()).any(|(_, i)| i.keys > 0);
        assert!(chosen.keys > 0 || !data || survivor, "I13: {to} is empty, and another has data");
    }

    fn promote(&mut self, member: &str) {
        let t = self.record.transition.clone();
        let granted = t.as_ref().map(|t| t.to.clone()).or(self.record.master.clone());
        assert_eq!(granted.as_deref(), Some(member), "I2: promoted without a record");
        let before = self.promoted.insert(self.record.epoch, member.to_owned());
        assert!(before.is_none_or(|b| b == member), "I1: two members promoted in epoch {}", self.record.epoch);
        let rivals = (0..N).filter(|i| name(*i) != member && self.slots[*i].reachable && self.is_master(*i)).count();
        assert_eq!(rivals, 0, "I3: another member still accepts writes");
        if let Some(t) = t.filter(|t| t.kind == TransitionKind::Switchover)
            && let Some(from) = t.from.map(|f| index(&f))
            && let Some(old) = &self.slots[from].redis
            && self.record.run_ids.get(&name(from)) == Some(&old.run.to_string())
        {
            let new = &self.slots[index(member)].redis.as_ref().unwrap().data;
            assert!(old.data.iter().all(|d| new.contains(d)), "a switchover loses a write: {:?} → {new:?}", old.data);
        }
        let id = self.fresh();
        if let Some(r) = self.redis(member)
            && !r.master
        {
            r.previous = Some((r.id, r.data.len()));
            (r.id, r.master, r.follows) = (id, true, None);
        }
    }

    fn happen(&mut self, event: Event) {
        self.now += Duration::from_millis(1);
        match event {
            Event::Later(ms) => self.now += Duration::from_millis(ms.into()),
            Event::Write => {
                let Some(i) = self.route.as_deref().map(index) else { return };
                let (now, number) = (self.now, self.acknowledged + 1);
                if let Some(r) = &mut self.slots[i].redis
                    && r.master
                    && r.held_until.is_none_or(|until| now >= until)
                {
                    r.data.push(number);
                    self.acknowledged = number;
                }
            }
            Event::Replicate => (0..N).for_each(|i| self.replicate(i)),
            Event::Round { cut_after } => drop(self.round(cut_after)),
            Event::Kill(i) => {
                if self.slots[i].redis.take().is_some() {
                    let since = self.now;
                    // unreachable: the end of the connection has not been seen
                    self.slots[i].contact =
                        if self.slots[i].reachable { Contact::Refused { since } } else { Contact::None };
                }
            }
            Event::Restart(i) => {
                if self.slots[i].redis.is_none() {
                    let redis = self.boot();
                    let pod = self.fresh();
                    let slot = &mut self.slots[i];
                    if slot.leaving {
                        *slot = Slot { pod, leaving: false, outdated: false, label: None, redis: None, ..slot.clone() };
                    }
                    (slot.redis, slot.contact) = (Some(redis), Contact::None);
                }
            }
            Event::Delete(i) => self.slots[i].leaving = true,
            Event::Outdate => self.slots.iter_mut().for_each(|s| s.outdated = true),
            Event::Unreachable(i, reachable) => {
                let since = self.now;
                let slot = &mut self.slots[i];
                slot.contact = if reachable { slot.contact } else { Contact::Closed { since } };
                slot.reachable = reachable;
            }
            Event::OperatorCrash => self.memory = Memory::default(),
            Event::HandPromote(i) => {
                let id = self.fresh();
                if let Some(r) = &mut self.slots[i].redis
                    && !r.master
                {
                    r.previous = Some((r.id, r.data.len()));
                    (r.id, r.master, r.follows) = (id, true, None);
                }
            }
            Event::HandFollow(i, m) => {
                if let Some(r) = &mut self.slots[i].redis {
                    (r.master, r.follows) = (false, Some(m));
                }
            }
        }
        self.pods_end();
    }

    /// preStop: a leaving pod's Redis ends as soon as it is no master.
    fn pods_end(&mut self) {
        for i in 0..N {
            if self.slots[i].leaving && !self.is_master(i) && self.slots[i].redis.is_some() {
                self.slots[i].redis = None;
                self.slots[i].contact = Contact::Refused { since: self.now };
            }
        }
    }

    fn replicate(&mut self, i: usize) {
        if !self.link_up(i) {
            return;
        }
        let m = self.slots[i].redis.as_ref().and_then(|r| r.follows).unwrap();
        let master = self.slots[m].redis.clone().unwrap();
        let replica = self.slots[i].redis.as_mut().unwrap();
        let have = replica.data.len();
        let continues = have <= master.data.len()
            && (replica.id == master.id || master.previous.is_some_and(|(id, end)| replica.id == id && have <= end));
        self.full_syncs += usize::from(!continues);
        (replica.data, replica.id, replica.previous) = (master.data, master.id, master.previous);
    }

    /// No more faults: everything comes back, and the operator does what is left to do.
    fn calm(&mut self) {
        for _ in 0..400 {
            for i in 0..N {
                self.happen(Event::Unreachable(i, true));
                self.happen(Event::Restart(i));
            }
            self.happen(Event::Replicate);
            self.happen(Event::Write);
            let plan = self.round(usize::MAX);
            self.pods_end();
            self.now += Duration::from_millis(20);
            let settled = self.memory.routed_at.is_none_or(|at| self.now > at + Duration::from_secs(2));
            let quiet =
                plan.steps.is_empty() && self.memory.demoted.is_empty() && self.record.transition.is_none() && settled;
            if quiet && plan.waits.is_empty() && self.slots.iter().all(|s| s.redis.is_some() && !s.leaving) {
                break;
            }
        }
        let masters: Vec<_> = (0..N).filter(|i| self.is_master(*i)).map(name).collect();
        assert_eq!(
            Some(&masters),
            self.record.master.as_ref().map(|m| vec![m.clone()]).as_ref(),
            "I12: one master, the recorded one"
        );
        assert!((0..N).all(|i| self.is_master(i) || self.link_up(i)), "I12: all others follow it");
        assert_eq!(self.route, self.record.master, "I7");
        assert!(self.slots.iter().all(|s| !s.outdated), "all pods are of the present spec");
        for (i, s) in self.slots.iter().enumerate() {
            let role = if self.is_master(i) { RoleLabel::Master } else { RoleLabel::Replica };
            assert_eq!(s.label, Some(role), "the label of {}", name(i));
        }
        assert!(self.round(usize::MAX).steps.is_empty(), "I12: it goes quiet");
    }
}

fn event() -> impl Strategy<Value = Event> {
    let member = 0..N;
    prop_oneof![
        8 => Just(Event::Write),
        6 => Just(Event::Replicate),
        12 => Just(Event::Round { cut_after: usize::MAX }),
        2 => (0usize..3).prop_map(|cut_after| Event::Round { cut_after }),
        2 => member.clone().prop_map(Event::Kill),
        4 => member.clone().prop_map(Event::Restart),
        1 => member.clone().prop_map(Event::Delete),
        1 => Just(Event::Outdate),
        1 => (member.clone(), any::<bool>()).prop_map(|(i, r)| Event::Unreachable(i, r)),
        1 => Just(Event::OperatorCrash),
        1 => member.clone().prop_map(Event::HandPromote),
        1 => (member.clone(), member).prop_map(|(i, m)| Event::HandFollow(i, m)),
        2 => (1u16..800).prop_map(Event::Later),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    /// Whatever happens in whatever order: the invariants hold at every step, and in the end there is one master.
    #[test]
    fn any_history_keeps_the_invariants(events in prop::collection::vec(event(), 1..80)) {
        let mut world = World::new();
        for event in events {
            world.happen(event);
        }
        world.calm();
    }
}

#[test]
fn a_killed_master_costs_only_what_nobody_had_received() {
    let mut w = World::new();
    let master = index(w.record.master.as_ref().unwrap());
    for _ in 0..10 {
        w.happen(Event::Write);
    }
    w.happen(Event::Replicate);
    let received = w.acknowledged;
    w.happen(Event::Write); // in flight
    let syncs = w.full_syncs;
    w.happen(Event::Kill(master));
    (0..40).for_each(|_| w.happen(Event::Round { cut_after: usize::MAX }));
    let new = index(w.record.master.as_ref().unwrap());
    assert_ne!(new, master);
    assert_eq!(w.slots[new].redis.as_ref().unwrap().data, (1..=received).collect::<Vec<_>>());
    w.happen(Event::Replicate);
    assert_eq!(w.full_syncs, syncs, "I10: the surviving replica continues without a full copy");
    w.calm();
}

#[test]
fn deleting_the_master_loses_nothing_and_costs_no_survivor_a_full_copy() {
    let mut w = World::new();
    let master = index(w.record.master.as_ref().unwrap());
    let syncs = w.full_syncs;
    w.happen(Event::Delete(master));
    for _ in 0..60 {
        w.happen(Event::Write);
        w.happen(Event::Round { cut_after: usize::MAX });
        w.happen(Event::Replicate);
    }
    let new = index(w.record.master.as_ref().unwrap());
    assert_ne!(new, master);
    let data = &w.slots[new].redis.as_ref().unwrap().data;
    assert_eq!(data.len() as u32, w.acknowledged, "every acknowledged write is there");
    assert_eq!(w.full_syncs, syncs, "I10");
    w.calm();
}

#[test]
fn everything_restarted_empty_gets_a_master_again() {
    let mut w = World::new();
    (0..N).for_each(|i| w.happen(Event::Kill(i)));
    w.calm();
}

#[test]
fn a_planned_switchover_waits_until_the_services_are_calm() {
    let mut w = World::new();
    let master = index(w.record.master.as_ref().unwrap());
    w.slots[master].leaving = true;
    w.now += Duration::from_secs(60);
    let begins = |o: &Observation| plan(o).steps.iter().any(|s| matches!(s, Step::Begin { .. }));
    let at = |stirred: u64, leaving: u64| {
        let mut o = w.observe();
        let now = o.now;
        o.stirred_at = now.saturating_sub(Duration::from_millis(stirred));
        let pod = o.members.get_mut(&name(master)).unwrap().pod.as_mut().unwrap();
        pod.leaving_since = now.saturating_sub(Duration::from_millis(leaving));
        begins(&o)
    };
    assert!(!at(100, 100), "the deletion itself was a change");
    assert!(at(2100, 2100), "calm");
    assert!(!at(100, 5000), "something else changed");
    assert!(at(100, 11_000), "not for ever");
}

#[test]
fn labels_follow_the_service_and_never_come_with_it() {
    let mut w = World::new();
    let master = index(w.record.master.as_ref().unwrap());
    w.happen(Event::Kill(master));
    let (mut routed, mut labelled) = (None, None);
    for _ in 0..400 {
        let p = w.round(usize::MAX);
        w.now += Duration::from_millis(10);
        let has = |f: fn(&Step) -> bool| p.steps.iter().any(f);
        if has(|s| matches!(s, Step::Route { .. })) {
            routed.get_or_insert(w.now);
        }
        if has(|s| matches!(s, Step::Label { .. })) {
            labelled.get_or_insert(w.now);
        }
    }
    assert!(labelled.unwrap() >= routed.unwrap() + Duration::from_secs(1), "{routed:?} {labelled:?}");
}

#[test]
fn the_next_pod_is_replaced_only_when_readers_reach_the_last_one() {
    let mut w = World::new();
    w.happen(Event::Outdate);
    let master = index(w.record.master.as_ref().unwrap());
    let other = (0..N).find(|i| *i != master).unwrap();
    let replaces = |ready: bool, role: Option<RoleLabel>| {
        let mut o = w.observe();
        let pod = o.members.get_mut(&name(other)).unwrap().pod.as_mut().unwrap();
        (pod.ready, pod.role, pod.outdated) = (ready, role, false);
        plan(&o).steps.iter().any(|s| matches!(s, Step::Restart { .. }))
    };
    assert!(replaces(true, Some(RoleLabel::Replica)));
    assert!(!replaces(false, Some(RoleLabel::Replica)), "the kubelet does not count it as ready");
    assert!(!replaces(true, None), "the replicas Service does not select it");
}
