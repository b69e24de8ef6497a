//! The planner among members that all lie, in every answer: about their role, their history, their offset, their process.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;
use redis_replication_operator::{
    api::{
        FailoverPolicy, RequestKind, TransitionKind,
        TransitionPhase::{Ending, Promoting},
    },
    redis::{Files, FollowState, Info, MasterSide, MemoryUse, NOBODY, ReplicaSide, Role, SlaveState},
    replication::{
        Change, Contact, Former, Liveness, Member, Memory, Moment, Observation, OffsetStall, Pending,
        PersistenceSettings, Pod, Record, Recorded, Request, RoleLabel, Server, Settings, Step, liveness, plan,
        serving_master, stateful_set_replicas,
    },
};

use super::ports::carry_out;

const NAMES: [&str; 7] = ["shop-0", "shop-1", "shop-2", "shop-3", "shop-4", "shop-63", "shop-9999999999999"];
const IDS: [&str; 4] = ["history", "before", "evil", "0000000000000000000000000000000000000000"];
const RUNS: [&str; 4] = ["run-0", "run-1", "run-2", "evil"];
const NUMBERS: [u64; 7] = [0, 1, 100, 101, i64::MAX as u64, u64::MAX - 1, u64::MAX];
/// No sentence of the planner is longer, whatever the members say: it goes into the status, events and logs.
const SENTENCE: usize = 2000;

fn pick<T: Clone + std::fmt::Debug + 'static>(of: &[T]) -> proptest::sample::Select<T> {
    proptest::sample::select(of.to_vec())
}

fn ip(i: usize) -> String {
    format!("10.0.0.{i}")
}

fn role() -> impl Strategy<Value = Role> {
    let host = prop_oneof![(0usize..7).prop_map(ip), Just(NOBODY.0.to_owned()), Just("evil\n\0".to_owned())];
    let follow = prop_oneof![
        Just(FollowState::Connecting),
        Just(FollowState::Handshake),
        any::<u8>().prop_map(|p| FollowState::Syncing(Some(p))),
        Just(FollowState::Online),
    ];
    let slave = ((0usize..7).prop_map(ip), pick(&["online", "wait_bgsave", "\u{0}"]), pick(&NUMBERS), pick(&NUMBERS))
        .prop_map(|(ip, state, offset, lag)| SlaveState { ip, state: state.into(), offset, lag });
    prop_oneof![
        1 => proptest::collection::vec(slave, 0..6).prop_map(|slaves| Role::Master(MasterSide { slaves })),
        8 => (host, pick(&[0, 1, 6379, 65535]), follow).prop_map(|(master_host, master_port, follow)| {
            Role::Replica(ReplicaSide { master_host, master_port, follow })
        }),
    ]
}

fn info() -> impl Strategy<Value = Info> {
    let run = prop_oneof![3 => Just("run-0"), 1 => pick(&RUNS)];
    let id = prop_oneof![3 => Just("history"), 1 => pick(&IDS)];
    let ids = (run, id, proptest::option::of(pick(&IDS)));
    let numbers = (pick(&NUMBERS), pick(&NUMBERS), pick(&[0, 10, u64::MAX]), pick(&[0, 1, 2, usize::MAX]));
    (ids, numbers, any::<bool>(), role()).prop_map(
        |((run, id, before), (offset, previous_offset, keys, min), loading, role)| Info {
            run_id: run.into(),
            version: "?".into(),
            product: "x".repeat(70),
            replication_id: id.into(),
            previous_replication_id: before.map(str::to_owned),
            previous_offset,
            offset,
            loading,
            loading_percent: Some(255),
            snapshot_percent: Some(255),
            keys,
            memory: MemoryUse { used: Some(u64::MAX), limit: Some(0) },
            full_syncs: u64::MAX,
            buffer_drops: u64::MAX,
            files: Files { append_only: loading, ..Files::default() },
            min_replicas: min,
            role,
        },
    )
}

/// One round's facts of one member; times are ages in milliseconds.
#[derive(Clone, Debug)]
struct Facts {
    contact: u8,
    age: u64,
    silent: Option<u64>,
    info: Option<Info>,
    pod: Option<(u8, bool, bool, bool, bool)>,
    former: Former,
    claim: bool,
}

fn facts() -> impl Strategy<Value = Facts> {
    let age = pick(&[0, 10, 400, 1500, 6000]);
    let pod = proptest::option::weighted(
        0.9,
        (0u8..2, proptest::bool::weighted(0.1), any::<bool>(), any::<bool>(), proptest::bool::weighted(0.1)),
    );
    let former = pick(&[Former::Unknown, Former::Ended, Former::Silent]);
    let contact = prop_oneof![5 => Just(1), 1 => 0u8..5];
    let silent = proptest::option::weighted(0.2, age.clone());
    (contact, age, silent, proptest::option::weighted(0.9, info()), pod, former, any::<bool>()).prop_map(
        |(contact, age, silent, info, pod, former, claim)| Facts { contact, age, silent, info, pod, former, claim },
    )
}

fn member(i: usize, f: &Facts, now: Moment) -> Member {
    let ago = |ms: u64| now.saturating_sub(Duration::from_millis(ms));
    let since = ago(f.age);
    let contact = match f.contact {
        0 => Contact::None,
        1 => Contact::Up,
        2 => Contact::Closed { since },
        3 => Contact::Refused { since },
        _ => Contact::HostSilent { since },
    };
    let pod = f.pod.map(|(uid, leaving, running, ready, outdated)| Pod {
        uid: format!("uid-{i}-{uid}"),
        ip: ip(i).parse().ok(),
        leaving,
        ran: running,
        running,
        ready,
        outdated,
        role: ready.then_some(RoleLabel::Replica),
        ..Pod::default()
    });
    let server = Server {
        contact,
        info: f.info.clone().map(|info| (since, info)),
        silent_since: f.silent.map(ago),
        offset_stall: f.silent.map(|age| OffsetStall { since: ago(age), until: since }),
        problem: None,
        unreached_since: f.silent.map(ago),
    };
    Member { pod, server, claim_may_hold_data: f.claim, former: f.former, absent: None }
}

fn settings() -> impl Strategy<Value = Settings> {
    let request = proptest::option::weighted(
        0.2,
        (any::<bool>(), proptest::option::of(pick(&["shop-1", "shop-63", "ghost", ""]))),
    );
    (1usize..6, any::<(bool, bool, u8)>(), 0usize..9, request, proptest::option::of(pick(&["shop-2", "ghost"])))
        .prop_map(|(replicas, (persistent, consistent, rest), wait_replicas, request, preferred)| Settings {
            name: "shop".into(),
            replicas,
            persistent,
            persistence: persistent.then(|| PersistenceSettings { append_only: consistent, schedule: String::new() }),
            paused: rest == 0,
            removed: rest == 1,
            policy: if consistent { FailoverPolicy::Consistency } else { FailoverPolicy::Availability },
            wait_replicas,
            accept_data_loss_after: None,
            preferred_master: preferred.map(str::to_owned),
            request: request.map(|(force, to)| Request {
                kind: if force { RequestKind::Failover } else { RequestKind::Switchover },
                to: to.map(str::to_owned),
            }),
            ..Settings::default()
        })
}

fn record() -> impl Strategy<Value = Record> {
    let someone = || proptest::option::weighted(0.8, pick(&["shop-0", "shop-1", "shop-63", "ghost"]));
    let kinds = [TransitionKind::Election, TransitionKind::Failover, TransitionKind::Switchover];
    let members = proptest::collection::btree_map(
        pick(&["shop-0", "shop-1", "shop-2", "ghost"]).prop_map(str::to_owned),
        (proptest::option::of(pick(&RUNS)), proptest::option::of(0u8..2))
            .prop_map(|(run, uid)| Recorded { run_id: run.map(str::to_owned), uid: uid.map(|u| format!("uid-0-{u}")) }),
        0..4,
    );
    let pending = proptest::option::weighted(0.3, (pick(&kinds), someone(), pick(&["shop-0", "shop-2", "ghost"])));
    let numbers = (pick(&[0, 1, 7, i64::MAX - 1, i64::MAX]), pick(&[0, 1, usize::MAX]), pick(&[0, 1, 8, usize::MAX]));
    (someone(), numbers, proptest::option::of(pick(&IDS)), members, pending).prop_map(
        |(master, (epoch, min_replicas, wait), id, members, pending)| Record {
            master: master.map(str::to_owned),
            epoch,
            replication_id: id.map(str::to_owned),
            previous_replication_id: Some("before".into()),
            members,
            min_replicas,
            wait_replicas: wait,
            transition: pending.map(|(kind, from, to)| Pending {
                epoch,
                kind,
                from: from.map(str::to_owned),
                to: to.into(),
                phase: if kind == TransitionKind::Failover && min_replicas > 0 { Ending } else { Promoting },
                reason: "as recorded".into(),
            }),
            replaced: None,
        },
    )
}

/// Whom a step acts on.
fn named(step: &Step) -> Vec<&str> {
    match step {
        Step::Record(changes) => changes.iter().filter_map(subject).collect(),
        Step::Route { to } => vec![to],
        Step::Follow { member, master, .. } => vec![member, master],
        Step::Refresh { members } => members.iter().map(String::as_str).collect(),
        Step::Promote { member, .. } | Step::SetMinReplicas { member, .. } | Step::Detach { member, .. } => {
            vec![member]
        }
        Step::DeleteHungPod { member, .. } | Step::Demote { member, .. } | Step::HoldWrites { member } => vec![member],
        Step::DropReplicas { member, .. } => vec![member],
        Step::DropClients { member } | Step::Label { member, .. } | Step::ReplacePod { member, .. } => vec![member],
        Step::Persist { member, .. } => vec![member],
        Step::ReleaseWrites { .. } | Step::ResolveRequest { .. } => vec![],
    }
}

/// Whom a change of the record is about.
fn subject(change: &Change) -> Option<&str> {
    match change {
        Change::Begin { transition, .. } => Some(&transition.to),
        Change::Enrol { member, .. } => Some(member),
        Change::Commit(_) | Change::Complete { .. } | Change::History { .. } => None,
    }
}

fn sentences(step: &Step) -> Vec<&str> {
    match step {
        Step::Detach { reason, .. } | Step::DeleteHungPod { reason, .. } => vec![reason],
        Step::Demote { reason, .. } | Step::Follow { reason, .. } | Step::ReplacePod { reason, .. } => vec![reason],
        Step::ResolveRequest { note, .. } => vec![note],
        Step::Record(changes) => changes.iter().flat_map(words).collect(),
        _ => vec![],
    }
}

fn words(change: &Change) -> Vec<&str> {
    match change {
        Change::Begin { transition, replaced, .. } => {
            let replaced = replaced.as_ref().map(|r| r.reason.as_str());
            replaced.into_iter().chain([transition.reason.as_str()]).collect()
        }
        Change::Complete { note, .. } => vec![note],
        Change::Commit(_) | Change::Enrol { .. } | Change::History { .. } => vec![],
    }
}

/// What must hold of every change of the record.
fn check_change(o: &Observation, change: &Change) {
    let r = &o.record;
    match change {
        Change::Begin { transition, members, .. } => {
            assert_eq!(transition.epoch, r.epoch.saturating_add(1));
            assert!(members.iter().all(|n| o.members[n].pod.is_some()));
        }
        Change::Complete { .. } => assert!(r.transition.is_some()),
        Change::Commit(promises) => {
            assert!(promises.members.iter().all(|n| o.members.contains_key(n) || r.members.contains_key(n)));
            assert!(r.transition.is_none());
        }
        Change::Enrol { member, run_id, uid } => {
            let m = &o.members[member];
            let Liveness::Alive(info) = liveness(o, m) else { panic!("{change:?} of a process that does not answer") };
            assert!((&info.run_id, Some(uid)) == (run_id, m.pod.as_ref().map(|pod| &pod.uid)), "{change:?}");
            let (master, _) = serving_master(o).unwrap_or_else(|| panic!("{change:?} without a master"));
            assert!(master == member || o.memory.caught_up(member, info), "{change:?}");
        }
        Change::History { replication_id, .. } => {
            // the master's that serves, or that of a target which has followed one whose change of master has not ended
            let serves = serving_master(o).is_some_and(|(_, info)| info.replication_id == *replication_id);
            let target = plan(o).begins().map(|t| t.to.clone()).and_then(|to| o.members[&to].server.info.clone());
            let of_target = target.is_some_and(|(_, info)| info.replication_id == *replication_id);
            assert!(serves || (of_target && r.transition.is_some()), "{change:?}");
        }
    }
}

/// What must hold of every plan.
fn check(o: &Observation) -> Vec<Step> {
    let p = plan(o);
    let r = &o.record;
    let authorized_master = |name: &str| match &r.transition {
        Some(t) => t.to == name,
        None => r.master.as_deref() == Some(name),
    };
    let persists = p.steps.iter().filter(|s| matches!(s, Step::Persist { .. })).count();
    assert!(persists <= 1 && (persists == 0 || o.settings.persistence.is_some()), "{p:?}");
    let begins = p.changes().iter().filter(|c| matches!(c, Change::Begin { .. })).count();
    assert!(begins <= 1, "{:?}", p.steps);
    let writes = p.steps.iter().filter(|s| matches!(s, Step::Record(_))).count();
    assert!(writes <= 1, "one write refuses the other: {:?}", p.steps);
    let mut record = r.clone();
    for change in p.changes() {
        check_change(o, change);
        let next = record.next(change);
        assert_ne!(next, record, "{change:?} is a write for nothing");
        record = next;
    }
    for step in &p.steps {
        assert!(named(step).into_iter().all(|n| o.members.contains_key(n)), "nobody knows whom {step:?} names");
        assert!(sentences(step).iter().all(|s| s.len() <= SENTENCE), "{step:?}");
        match step {
            Step::Promote { member, .. } => {
                assert!(authorized_master(member), "promoted without a record: {step:?} {r:?}");
                assert_eq!(begins, 0, "promoted beside another decision");
            }
            Step::Route { to } | Step::Label { member: to, role: RoleLabel::Master } => {
                assert!(authorized_master(to), "{step:?} is not of the record {r:?}");
            }
            Step::Follow { member, master, .. } => {
                assert!(authorized_master(master) && member != master, "{step:?} {r:?}");
            }
            Step::Demote { member, .. } => {
                let info = &o.members[member].server.info.as_ref().unwrap().1;
                let serves = authorized_master(member) && o.is_recorded_process(member, info);
                let may = o.settings.removed || o.members[member].leaving() || r.transition.is_some();
                assert!(!serves || may, "the recorded master is demoted: {step:?}");
            }
            _ => {}
        }
    }
    assert!(p.waits.iter().all(|w| w.text.len() <= SENTENCE), "{:?}", p.waits);
    if o.settings.paused && !o.settings.removed {
        // what is seen is recorded, and nothing is done
        let seen = |c: &Change| matches!(c, Change::Enrol { .. } | Change::History { .. });
        assert!(p.steps.iter().all(|s| matches!(s, Step::Record(_))) && p.changes().iter().all(seen), "{:?}", p.steps);
    }
    p.steps
}

fn remembered(memory: &Memory) -> usize {
    let m = memory;
    m.demoted.len()
        + m.detached.len()
        + m.catching_up.len()
        + m.killed.len()
        + m.behind.len()
        + m.links.len()
        + m.steady.len()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]
    #[test]
    fn lies_lead_to_no_plan_that_is_unsafe(
        settings in settings(),
        record in record(),
        rounds in proptest::collection::vec((proptest::collection::vec(facts(), NAMES.len()), 0usize..NAMES.len(), pick(&[1, 50, 400, 3000, 9000])), 1..10),
    ) {
        let (mut record, mut memory, mut now) = (record, Memory::default(), Duration::from_secs(100));
        for (facts, absent, later) in rounds {
            now += Duration::from_millis(later);
            let members: BTreeMap<String, Member> = NAMES.iter().enumerate().filter(|(i, _)| *i != absent)
                .map(|(i, name)| ((*name).to_owned(), member(i, &facts[i], now))).collect();
            let route = Some(record.master.clone().filter(|_| later != 400));
            let o = Observation { now, settings: settings.clone(), record: record.clone(), members, endpoints_changed_at: Duration::ZERO, route, memory: memory.clone() };
            memory = memory.after(&o);
            prop_assert!(remembered(&memory) <= 8 * NAMES.len(), "{memory:?}");
            let o = Observation { memory: memory.clone(), ..o };
            let steps = check(&o);
            prop_assert_eq!(&steps, &plan(&o).steps, "the same situation, another plan");
            let epoch = record.epoch;
            carry_out(&steps, &o, &mut record, &mut memory);
            prop_assert!(record.epoch == epoch || record.epoch == epoch.saturating_add(1));
            prop_assert!(stateful_set_replicas(&o) <= 64);
        }
    }
}

#[test]
fn only_the_pods_of_the_stateful_set_are_members() {
    let settings = Settings { name: "shop".into(), replicas: 3, ..Settings::default() };
    assert_eq!(settings.ordinal("shop-2"), 2);
    for stranger in [
        "shop",
        "shop-",
        "shop-02",
        "shop-+2",
        "shop--2",
        "shop-2x",
        "shop-debug",
        "shop2-2",
        "xshop-2",
        "shop-99999999999999999999",
    ] {
        assert_eq!(settings.ordinal(stranger), usize::MAX, "{stranger}");
    }
}
