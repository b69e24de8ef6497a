//! The world of one history: members on their hosts, Kubernetes, clients, one operator that acts and perhaps an older one
//! that has not noticed that it may not.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use redis_replication_operator::replication::{Moment, Observation, Record, RoleLabel, Settings, Step, Wait};

pub use super::event::Event;
use super::{
    fleet::Fleet,
    invariants::{Facts, Violation},
    operator::{Operator, Stalled},
    redis::{Id, Refusal, Time},
};

/// The host of the operator.
pub const OPERATOR: usize = 0;
/// `min-replicas-max-lag`, as the operator sets it, in seconds.
pub const MAX_LAG: u64 = 2;
/// A history writes no more than a set of writes can name.
const WRITES: u8 = 120;

pub fn name(i: usize) -> String {
    format!("shop-{i}")
}
pub fn index(name: &str) -> usize {
    name.trim_start_matches("shop-").parse().unwrap()
}
pub fn moment(at: Time) -> Moment {
    Duration::from_millis(at)
}

/// A pod as Kubernetes has it.
#[derive(Clone, Debug)]
pub struct PodState {
    /// A pod gets a host of its own, and so an address that nobody had before: the number is its identity.
    pub host: usize,
    pub leaving: bool,
    pub leaving_since: Moment,
    /// It is ended whatever it is.
    pub kill: bool,
    /// What it was made from.
    pub template: (u32, Template),
    /// How often its process has been started, and when it ends by itself.
    pub starts: u32,
    pub dies_at: Option<Time>,
    /// After a crash the kubelet starts it again, after growing pauses.
    pub starts_at: Time,
    pub label: Option<RoleLabel>,
}

/// What pods are made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Template {
    Sound,
    /// A volume of a `ConfigMap` that does not exist, for one.
    NeverStarts,
    /// It is killed after some seconds, again and again.
    Crashes,
    /// It runs, and gets no connection to the master.
    CannotConnect,
    /// It cannot load the copy of a master of any other template.
    OldVersion,
}

/// What is sent to a Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Promote { min_replicas: usize, epoch: i64 },
    Follow(Option<usize>),
    Fence(usize),
    DropReplica(usize),
    Hold(Time),
    Release,
}

/// A client that waits for replicas.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    pub write: u8,
    pub host: usize,
    pub run: Id,
    pub offset: u64,
    pub wanted: usize,
}

/// A rule taken away: what the planner is told, what becomes of its steps, or how a member boots is another than it should.
#[derive(Clone, Copy, Debug)]
pub struct Tampering {
    pub facts: fn(&mut Observation),
    pub steps: fn(&Observation, &mut Vec<Step>),
    /// A container starts as a master.
    pub boots_as_master: bool,
    /// An operator leaves the connections of the one before it open.
    pub spares_predecessors: bool,
    /// The history ends as it is: nothing is mended, and nobody looks whether all comes to rest.
    pub ends_early: bool,
}

impl Default for Tampering {
    fn default() -> Self {
        Self { facts: |_| (), steps: |_, _| (), boots_as_master: false, spares_predecessors: false, ends_early: false }
    }
}

/// What a world is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    pub settings: Settings,
    /// Data survives a restart, in an append-only file.
    pub appendonly: bool,
    pub backlog: usize,
}

#[derive(Clone, Debug)]
pub struct World {
    pub fleet: Fleet,
    pub pods: BTreeMap<usize, PodState>,
    /// The present one, and its number.
    pub template: (u32, Template),
    pub settings: Settings,
    /// The status, and the version of the resource.
    pub record: Record,
    pub version: u64,
    pub api_down: bool,
    pub route: Option<usize>,
    pub endpoints_changed_at: Time,
    /// How many pods the operator keeps, of those that there are.
    pub kept: usize,
    /// Hosts for which a firewall refuses the operator's connections. Clients and replicas reach them.
    pub rejected: BTreeSet<usize>,
    pub operator: Operator,
    pub stalled: Option<Box<Stalled>>,
    /// It is the stalled one that acts, and its lease is over.
    pub late: bool,
    /// Commands on their way, or in the socket buffer of a stopped process.
    pub delayed: Vec<(usize, Id, Command)>,
    /// The last plan.
    pub waits: Vec<Wait>,
    pub steps: Vec<Step>,
    pub writes: u8,
    pub waiting: Vec<Waiting>,
    /// Clients of a stopped process that will wait for replicas.
    pub queued_waits: Vec<u8>,
    pub tampering: Tampering,
    pub facts: Facts,
    pub broken: Option<Violation>,
}

impl World {
    /// A replication that has come to rest.
    pub fn new(shape: &Shape, tampering: Tampering) -> Self {
        thread_local!(static BEGUN: RefCell<Vec<(Shape, World)>> = const { RefCell::new(Vec::new()) });
        BEGUN.with_borrow_mut(|begun| {
            if !begun.iter().any(|(s, _)| s == shape) {
                begun.push((shape.clone(), Self::begin(shape)));
            }
            let world = begun.iter().find(|(s, _)| s == shape).map(|(_, w)| w.clone()).unwrap();
            Self { tampering, ..world }
        })
    }

    fn begin(shape: &Shape) -> Self {
        let mut fleet = Fleet::new(1, shape.backlog, shape.appendonly);
        fleet.now = 1000;
        let mut w = Self {
            fleet,
            pods: BTreeMap::new(),
            template: (0, Template::Sound),
            settings: shape.settings.clone(),
            record: Record::default(),
            version: 1,
            api_down: false,
            route: None,
            endpoints_changed_at: 0,
            kept: 0,
            rejected: BTreeSet::new(),
            operator: Operator::default(),
            stalled: None,
            late: false,
            delayed: Vec::new(),
            waits: Vec::new(),
            steps: Vec::new(),
            writes: 0,
            waiting: Vec::new(),
            queued_waits: Vec::new(),
            tampering: Tampering::default(),
            facts: Facts::default(),
            broken: None,
        };
        w.kubelet();
        w.calm();
        w
    }

    pub fn host(&self, member: usize) -> Option<usize> {
        self.pods.get(&member).map(|p| p.host)
    }

    pub fn kubelet_reaches(&self, host: usize) -> bool {
        self.fleet.path(host, OPERATOR) && self.fleet.path(OPERATOR, host)
    }

    pub fn happen(&mut self, event: Event) {
        self.fleet.now += 1;
        self.happen_at_once(event);
    }

    /// The same in no time.
    pub fn happen_at_once(&mut self, event: Event) {
        self.apply(event);
        self.fleet.settle();
        self.settle_waits();
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Write { wait } => {
                if let Some(host) = self.route.and_then(|m| self.host(m)) {
                    self.client(host, wait);
                }
            }
            Event::WriteTo { member, wait } => {
                if let Some(host) = self.host(member) {
                    self.client(host, wait);
                }
            }
            Event::Receive { member, count } => {
                if let Some(host) = self.host(member) {
                    self.receive(host, count);
                }
            }
            Event::ReceiveAll => (1..self.fleet.hosts.len()).for_each(|h| self.receive(h, usize::MAX)),
            Event::Round { cut_after, luck } => drop(self.round(cut_after, luck)),
            Event::Poll { member } => self.poll(member, true),
            Event::Crash => {
                self.operator = Operator::default();
                self.refresh_resource();
            }
            Event::Stall => self.stall(),
            Event::Unstall => self.unstall(),
            Event::Kill { member } => {
                if let Some(host) = self.host(member) {
                    self.fleet.kill(host);
                }
            }
            Event::Start { member } => self.start(member),
            Event::PowerOff { member } => {
                if let Some(host) = self.host(member) {
                    self.fleet.darken(host);
                }
            }
            Event::Delete { member } => self.delete(member, false),
            Event::ForceDelete { member } => {
                self.pods.remove(&member);
                self.endpoints_changed_at = self.fleet.now;
            }
            Event::Kubelet => self.kubelet(),
            Event::Stop { member } => {
                if let Some(r) = self.host(member).and_then(|h| self.fleet.redis_mut(h)) {
                    r.stopped = true;
                }
            }
            Event::Continue { member } => {
                if let Some(host) = self.host(member) {
                    self.resume(host);
                }
            }
            Event::Cut { from, to } => {
                let host = |m: Option<usize>| m.map_or(Some(OPERATOR), |m| self.host(m));
                if let (Some(from), Some(to)) = (host(from), host(to))
                    && from != to
                    && self.fleet.path(from, to)
                {
                    self.fleet.cuts.push((from, to));
                }
            }
            Event::Isolate { member } => {
                if let Some(host) = self.host(member) {
                    self.isolate(host);
                }
            }
            Event::Reject { member } => {
                if let Some(host) = self.host(member) {
                    self.rejected.insert(host);
                    self.poll(member, false);
                }
            }
            Event::Heal => {
                self.fleet.cuts.clear();
                self.rejected.clear();
                self.deliver();
            }
            Event::Api { up } => self.api_down = !up,
            Event::Save { member } => {
                if let Some(host) = self.host(member) {
                    self.fleet.save(host);
                }
            }
            Event::PromoteByHand { member } => {
                if let Some(host) = self.host(member) {
                    self.fleet.promote(host);
                }
            }
            Event::Outdate => self.template.0 += 1,
            Event::Change { template } => self.template = (self.template.0 + 1, template),
            // the API server refuses what cannot be kept
            Event::Scale { replicas } if replicas > self.settings.wait_replicas => self.settings.replicas = replicas,
            Event::Wait { replicas } if replicas < self.settings.replicas => self.settings.wait_replicas = replicas,
            Event::Scale { .. } | Event::Wait { .. } => {}
            Event::Later { ms } => self.later(ms.into()),
        }
    }

    /// Time passes, and the operator's connections notice what they notice.
    pub fn later(&mut self, ms: Time) {
        self.deliver(); // what came late
        let mut left = ms;
        while left > 0 {
            let part = left.min(super::connection::CHECK_EVERY);
            self.fleet.advance(part);
            self.crash();
            (0..self.fleet.hosts.len()).for_each(|i| self.poll(i, false));
            left -= part;
        }
    }

    fn isolate(&mut self, host: usize) {
        for other in 0..self.fleet.hosts.len() {
            for cut in [(host, other), (other, host)] {
                if other != host && !self.fleet.cuts.contains(&cut) {
                    self.fleet.cuts.push(cut);
                }
            }
        }
    }

    // ── clients ──

    pub fn client(&mut self, host: usize, wait: bool) {
        if self.writes >= WRITES {
            return;
        }
        self.writes += 1;
        let write = self.writes;
        match self.fleet.write(host, write) {
            Ok(offset) => self.accepted(host, write, offset, wait),
            Err(Refusal::Queued) if wait => self.queued_waits.push(write),
            Err(_) => {}
        }
    }

    pub fn accepted(&mut self, host: usize, write: u8, offset: u64, wait: bool) {
        self.check_write(host, write);
        let Some(run) = self.fleet.redis(host).map(|r| r.run) else { return };
        if wait {
            let wanted = self.settings.wait_replicas.max(1);
            self.waiting.push(Waiting { write, host, run, offset, wanted });
            self.fleet.ask_acks(host, offset, wanted);
        }
    }

    /// `WAIT` returns when enough replicas have acknowledged, and fails when the process is demoted or gone.
    pub fn settle_waits(&mut self) {
        for w in std::mem::take(&mut self.waiting) {
            match self.fleet.redis(w.host) {
                Some(r) if r.run == w.run && (r.is_master() || r.stopped) => {
                    let count = r.acknowledged_by(w.offset);
                    if !r.stopped && count >= w.wanted {
                        self.confirmed(w, count);
                    } else {
                        self.waiting.push(w);
                    }
                }
                _ => {}
            }
        }
    }

    fn receive(&mut self, host: usize, count: usize) {
        let before = self.fleet.redis(host).map(|r| (r.data, r.claim(), r.is_syncing()));
        self.fleet.receive(host, count);
        let syncs = self.fleet.redis(host).is_some_and(super::redis::Redis::is_syncing);
        if let Some((data, claim, false)) = before
            && syncs
        {
            self.check_full_sync(host, data, claim);
        }
    }
}
