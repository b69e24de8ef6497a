//! What each step asks of the ports, what is made of their answers, and when nothing is asked.

use std::{
    cell::{Cell, RefCell},
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::*;
use crate::fixture::{self, NOW};

const LATER: Moment = Duration::from_secs(1003);
/// When a server was asked for the state that it answers with.
const ASKED: Moment = Duration::from_secs(1002);

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("no")]
struct No;

/// Ports that write down what they are asked, and answer.
struct Scripted {
    calls: RefCell<Vec<String>>,
    now: Cell<Moment>,
    leads: Cell<bool>,
    fails: bool,
    /// What a server says after a command.
    info: Info,
    refuses: Option<String>,
}

impl Scripted {
    fn new() -> Self {
        let info = Info { run_id: "run-now".into(), offset: 77, ..fixture::healthy(3).info(0).clone() };
        let (calls, now) = (RefCell::default(), Cell::new(NOW));
        Self { calls, now, leads: Cell::new(true), fails: false, info, refuses: None }
    }

    /// Time passes until the answer is there.
    fn called<T>(&self, call: String, answer: T) -> Result<T, No> {
        self.calls.borrow_mut().push(call);
        self.now.set(LATER);
        if self.fails { Err(No) } else { Ok(answer) }
    }
}

impl Servers for Scripted {
    type Error = No;
    async fn promote(&self, member: &str, min_replicas: usize) -> Result<Info, No> {
        self.called(format!("promote {member} {min_replicas}"), self.info.clone())
    }
    async fn detach(&self, member: &str) -> Result<Info, No> {
        self.called(format!("detach {member}"), self.info.clone())
    }
    async fn follow(&self, member: &str, master: &str) -> Result<Info, No> {
        self.called(format!("follow {member} {master}"), self.info.clone())
    }
    async fn set_min_replicas(&self, member: &str, min_replicas: usize) -> Result<(), No> {
        self.called(format!("min-replicas {member} {min_replicas}"), ())
    }
    async fn hold(&self, member: &str, limit: Duration) -> Result<(Moment, Info), No> {
        self.called(format!("hold {member} {limit:?}"), (ASKED, self.info.clone()))
    }
    async fn release(&self, member: &str) -> Result<(), No> {
        self.called(format!("release {member}"), ())
    }
    async fn drop_replicas(&self, member: &str, _: &std::collections::BTreeSet<String>) -> Result<(), No> {
        self.called(format!("drop replicas of {member}"), ())
    }
    async fn drop_clients(&self, member: &str) -> Result<(), No> {
        self.called(format!("drop {member}"), ())
    }
    async fn refresh(&self, members: &[String]) {
        let _ = self.called(format!("refresh {}", members.join(" ")), ());
    }
    async fn persist(&self, member: &str, act: &Act) -> Result<Option<String>, No> {
        self.called(format!("persist {member} {act:?}"), self.refuses.clone())
    }
}

impl Cluster for Scripted {
    type Error = No;
    type Written = Record;
    async fn write_record(&self, next: &Record, changes: &[Change]) -> Result<Record, No> {
        self.called(format!("record {}", changes.len()), next.clone())
    }
    async fn route(&self, to: &str) -> Result<(), No> {
        self.called(format!("route {to}"), ())
    }
    async fn label(&self, member: &str, uid: &str, role: RoleLabel) -> Result<(), No> {
        self.called(format!("label {member} {uid} {role:?}"), ())
    }
    async fn delete_pod(&self, member: &str, uid: &str, grace: Option<u32>) -> Result<(), No> {
        self.called(format!("delete {member} {uid} {grace:?}"), ())
    }
    async fn resolve_request(&self, request: RequestKind) -> Result<Record, No> {
        self.called(format!("resolve {request:?}"), Record { epoch: 9, ..Record::default() })
    }
}

impl Ports for Scripted {
    fn now(&self) -> Moment {
        self.now.get()
    }
    fn may_act(&self) -> bool {
        self.leads.get()
    }
}

/// Ready at once, as nothing here waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    let Poll::Ready(value) = pin!(future).poll(&mut Context::from_waker(Waker::noop())) else { panic!("it waits") };
    value
}

fn act(ports: &Scripted, o: &Observation, step: &Step) -> Outcome<Scripted> {
    now(carry_out(ports, o, std::slice::from_ref(step), &mut Memory::default())).pop().unwrap()
}

fn member(i: usize) -> String {
    fixture::name(i)
}

/// One step of each kind on the member 1 of a healthy replication; what is asked for it, and what it brings about.
fn all() -> Vec<(Step, &'static str, Effect)> {
    let (m, reason) = (|| member(1), String::new);
    let changes = vec![Change::History { replication_id: "next".into(), previous: None }];
    let demoted = |offset| Effect::Demoted { member: m(), run_id: "run-now".into(), at: LATER, offset };
    let attempt = Attempt { run_id: "run-1".into(), act: Act::Snapshot, at: NOW, saved: 5, refused: None };
    vec![
        (Step::Record(changes.clone()), "record 1", Effect::Recorded { changes, at: LATER }),
        (Step::Promote { member: m(), min_replicas: 2 }, "promote shop-1 2", Effect::Nothing),
        (Step::SetMinReplicas { member: m(), min_replicas: 2 }, "min-replicas shop-1 2", Effect::Nothing),
        (Step::Detach { member: m(), reason: reason() }, "detach shop-1", Effect::Nothing),
        (
            Step::DeleteHungPod { member: m(), reason: reason() },
            "delete shop-1 uid-1 Some(1)",
            Effect::Killed { uid: "uid-1".into(), at: LATER },
        ),
        (Step::Demote { member: m(), offset: 90, reason: reason() }, "detach shop-1", demoted(90)),
        // it has acknowledged more since it was asked
        (Step::Demote { member: m(), offset: 50, reason: reason() }, "detach shop-1", demoted(77)),
        (
            Step::DropReplicas { member: m(), addresses: ["10.9.9.9".to_owned()].into() },
            "drop replicas of shop-1",
            Effect::Disconnected { addresses: ["10.9.9.9".to_owned()].into(), at: LATER },
        ),
        (Step::Follow { member: m(), master: member(2), reason: reason() }, "follow shop-1 shop-2", Effect::Nothing),
        (
            Step::HoldWrites { member: m() },
            "hold shop-1 2s",
            Effect::Held { member: m(), run_id: "run-now".into(), asked: NOW, since: ASKED },
        ),
        (Step::ReleaseWrites { member: m() }, "release shop-1", Effect::Released),
        (Step::DropClients { member: m() }, "drop shop-1", Effect::Dropped { member: m() }),
        (Step::Refresh { members: vec![m(), member(2)] }, "refresh shop-1 shop-2", Effect::Nothing),
        (Step::Route { to: m() }, "route shop-1", Effect::Routed { to: m(), at: LATER }),
        (
            Step::Label { member: m(), role: RoleLabel::Stale },
            "label shop-1 uid-1 Stale",
            Effect::Labelled { uid: "uid-1".into(), role: RoleLabel::Stale },
        ),
        (
            Step::ResolveRequest {
                request: RequestKind::Switchover,
                answer: crate::steps::Answer::Refused,
                note: reason(),
            },
            "resolve Switchover",
            Effect::Nothing,
        ),
        (
            Step::Persist { member: m(), act: Act::Snapshot },
            "persist shop-1 Snapshot",
            Effect::Persisted { member: m(), attempt },
        ),
        (
            Step::ReplacePod { member: m(), reason: reason() },
            "delete shop-1 uid-1 None",
            Effect::Replaced { uid: "uid-1".into() },
        ),
    ]
}

fn healthy() -> Observation {
    let mut o = fixture::healthy(3);
    o.info(1).files.saved = 5;
    o
}

#[test]
fn each_step_asks_one_thing_and_brings_one_thing_about() {
    for (step, call, effect) in all() {
        let ports = Scripted::new();
        let taken = act(&ports, &healthy(), &step).unwrap();
        assert_eq!(*ports.calls.borrow(), [call]);
        assert_eq!(taken.effect, effect, "{step:?}");
    }
}

#[test]
fn nothing_is_asked_without_the_lease() {
    for (step, ..) in all() {
        let ports = Scripted::new();
        ports.leads.set(false);
        assert_eq!(act(&ports, &healthy(), &step), Err(StepError::NotLeading), "{step:?}");
        assert!(ports.calls.borrow().is_empty(), "{step:?}");
    }
}

#[test]
fn a_step_that_fails_brings_nothing_about() {
    for (step, ..) in all() {
        let ports = Scripted { fails: true, ..Scripted::new() };
        let mut memory = Memory::default();
        let outcome = now(carry_out(&ports, &healthy(), std::slice::from_ref(&step), &mut memory)).pop().unwrap();
        // whether a write of the record was carried out is not known
        let record_unsure = matches!(step, Step::Record(_));
        match step {
            // it is not waited for; whoever is gone has no clients
            Step::Refresh { .. } => assert_eq!(outcome.unwrap().effect, Effect::Nothing),
            Step::DropClients { member } => assert_eq!(outcome.unwrap().effect, Effect::Dropped { member }),
            _ => assert_eq!(outcome, Err(StepError::Port(No)), "{step:?}"),
        }
        assert_eq!(memory, Memory { record_unsure, ..Memory::default() });
    }
}

#[test]
fn whoever_does_not_become_a_master_is_not_promoted() {
    let mut ports = Scripted::new();
    let promote = Step::Promote { member: member(1), min_replicas: 1 };
    assert_eq!(act(&ports, &healthy(), &promote).unwrap().info, Some(ports.info.clone()));
    ports.info = healthy().info(2).clone();
    assert_eq!(act(&ports, &healthy(), &promote), Err(StepError::NotPromoted(member(1))));
}

#[test]
fn a_master_that_is_made_to_follow_was_demoted() {
    let follow = Step::Follow { member: member(0), master: member(1), reason: String::new() };
    let effect = act(&Scripted::new(), &healthy(), &follow).unwrap().effect;
    assert_eq!(effect, Effect::Demoted { member: member(0), run_id: "run-now".into(), at: LATER, offset: 77 });
}

#[test]
fn who_has_no_pod_is_left_alone() {
    let mut o = healthy();
    (o.member(1).pod, o.member(1).server.info) = (None, None);
    for (step, ..) in all() {
        let of_the_pod = matches!(
            step,
            Step::DeleteHungPod { .. } | Step::ReplacePod { .. } | Step::Label { .. } | Step::Persist { .. }
        );
        if of_the_pod {
            let ports = Scripted::new();
            assert_eq!(act(&ports, &o, &step).unwrap(), Effect::Nothing.into(), "{step:?}");
            assert!(ports.calls.borrow().is_empty(), "{step:?}");
        }
    }
}

#[test]
fn what_a_server_refuses_to_write_is_remembered() {
    let ports = Scripted { refuses: Some("ERR".into()), ..Scripted::new() };
    let persist = Step::Persist { member: member(1), act: Act::Snapshot };
    let Effect::Persisted { attempt, .. } = act(&ports, &healthy(), &persist).unwrap().effect else { panic!() };
    assert_eq!(attempt.refused.as_deref(), Some("ERR"));
}

#[test]
fn what_is_written_is_the_record_after_the_changes() {
    let change = |id: &str| Change::History { replication_id: id.into(), previous: None };
    let (o, changes) = (healthy(), vec![change("one"), change("two")]);
    let written = act(&Scripted::new(), &o, &Step::Record(changes.clone())).unwrap().written.unwrap();
    assert_eq!(written, o.record.after(&changes));
    assert_ne!(written, o.record);
    let (request, answer, note) = (RequestKind::Failover, crate::steps::Answer::Accepted, String::new());
    let resolved = act(&Scripted::new(), &o, &Step::ResolveRequest { request, answer, note }).unwrap();
    assert_eq!(resolved.written.unwrap().epoch, 9);
}

/// Outcomes are in the order of the steps, and what each brought about is remembered, whatever became of the others.
#[test]
fn the_steps_of_a_plan_do_not_depend_on_one_another() {
    let mut ports = Scripted::new();
    ports.info = healthy().info(2).clone(); // a replica
    let steps = [
        Step::Promote { member: member(1), min_replicas: 1 },
        Step::Route { to: member(1) },
        Step::Demote { member: member(0), offset: 5, reason: String::new() },
    ];
    let mut memory = Memory::default();
    let outcomes = now(carry_out(&ports, &healthy(), &steps, &mut memory));
    assert_eq!(outcomes.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true, true]);
    assert_eq!(memory.routed_at, Some(LATER));
    assert_eq!(memory.demoted.keys().collect::<Vec<_>>(), ["shop-0"]);
}
