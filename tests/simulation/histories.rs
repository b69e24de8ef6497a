//! Random histories, a great many of them, and the shortest form of one that breaks an invariant.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Instant,
};

use redis_replication_operator::{api::FailoverPolicy, replication::Settings};

use super::{
    invariants::Violation,
    random::Random,
    world::{
        Event, Shape, Tampering,
        Template::{self, CannotConnect, Crashes, NeverStarts, OldVersion, Sound},
        World,
    },
};

/// Sets the random numbers for mishaps apart from those for events.
const LUCK: u64 = 0x6c75_636b;

/// Everything about one history.
#[derive(Clone, Debug)]
pub struct History {
    pub shape: Shape,
    pub events: Vec<Event>,
}

/// What histories are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Faults {
    /// All but those below.
    Usual,
    /// Also an operator that sends after it has lost its lease.
    Stale,
}

impl History {
    pub fn random(seed: u64, faults: Faults) -> Self {
        let mut r = Random::new(seed);
        let replicas = [3, 3, 3, 3, 2, 4, 5][r.below(7)];
        let policy = [FailoverPolicy::Consistency, FailoverPolicy::Availability][r.below(2)];
        let persistent = r.below(3) == 0;
        let wait = match policy {
            FailoverPolicy::Consistency => 1 + r.below(replicas - 1).min(r.below(3)),
            FailoverPolicy::Availability => r.below(2),
        };
        let settings =
            Settings { name: "shop".into(), replicas, persistent, policy, wait_replicas: wait, ..Settings::default() };
        let shape = Shape { settings, appendonly: persistent && r.below(2) == 0, backlog: [4, 64][r.below(2)] };
        let length = 10 + r.below(60);
        let mut luck = Random::new(seed ^ LUCK); // of its own, so that a history remains what it was
        let events = (0..length).map(|_| event(&mut r, &mut luck, replicas, faults)).collect();
        Self { shape, events }
    }

    /// Lives through it; returns the invariant that broke, and when.
    pub fn run(&self, tampering: Tampering) -> (Option<(Violation, usize)>, World) {
        let mut world = World::new(&self.shape, tampering);
        for (at, event) in self.events.iter().enumerate() {
            if let Some(v) = &world.broken {
                return (Some((v.clone(), at)), world);
            }
            world.happen(*event);
        }
        if world.broken.is_none() && !tampering.ends_early {
            world.calm();
        }
        (world.broken.clone().map(|v| (v, self.events.len())), world)
    }

    /// The shortest history found that breaks the same invariant: without each part in turn, large ones first.
    pub fn shrink(mut self, tampering: Tampering, invariant: &str) -> Self {
        let breaks = |h: &Self| h.run(tampering).0.is_some_and(|(v, _)| v.invariant == invariant);
        let mut part = self.events.len().div_ceil(2);
        while part > 0 {
            let mut at = 0;
            let mut shorter = false;
            while at < self.events.len() {
                let mut candidate = self.clone();
                candidate.events.drain(at..(at + part).min(self.events.len()));
                if breaks(&candidate) {
                    self = candidate;
                    shorter = true;
                } else {
                    at += part;
                }
            }
            part = if shorter && part == 1 { 1 } else { part / 2 };
        }
        self
    }

    /// What happens, event by event, and what the record and the members are after each.
    pub fn tell(&self, tampering: Tampering) -> String {
        let mut out = format!("{:?}\n", self.shape);
        let mut world = World::new(&self.shape, tampering);
        let _ = writeln!(out, "{:>8}  begins\n{}", world.fleet.now, world.picture());
        for event in &self.events {
            world.steps.clear();
            world.happen(*event);
            let _ = writeln!(out, "{:>8}  {event:?}\n{}", world.fleet.now, world.picture());
        }
        if world.broken.is_none() {
            world.calm();
            let _ = writeln!(out, "{:>8}  all is mended\n{}", world.fleet.now, world.picture());
        }
        let _ = writeln!(out, "{:?}", world.broken);
        out
    }
}

const TEMPLATES: [Template; 5] = [Sound, NeverStarts, Crashes, CannotConnect, OldVersion];

fn event(r: &mut Random, luck: &mut Random, replicas: usize, faults: Faults) -> Event {
    let member = r.below(replicas);
    let other = |r: &mut Random| Some(r.below(replicas + 1)).filter(|m| *m < replicas);
    let stale = if faults == Faults::Stale { 3 } else { 0 };
    let odds = [12, 4, 8, 12, 20, 4, 2, stale, stale, 4, 6, 1, 2, 1, 5, 3, 4, 3, 2, 4, 1, 1, 1, 1, 1, 1, 2, 14];
    match r.weighted(&odds) {
        0 => Event::Write { wait: r.below(2) == 0 },
        1 => Event::WriteTo { member, wait: r.below(2) == 0 },
        2 => Event::Receive { member, count: 1 + r.below(3) },
        3 => Event::ReceiveAll,
        4 => Event::Round { cut_after: if r.below(8) == 0 { r.below(3) } else { usize::MAX }, luck: luck.luck() },
        5 => Event::Poll { member },
        6 => Event::Crash,
        7 => Event::Stall,
        8 => Event::Unstall,
        9 => Event::Kill { member },
        10 => Event::Start { member },
        11 => Event::PowerOff { member },
        12 => Event::Delete { member },
        13 => Event::ForceDelete { member },
        14 => Event::Kubelet,
        15 => Event::Stop { member },
        16 => Event::Continue { member },
        17 => Event::Cut { from: other(r), to: other(r) },
        18 => Event::Isolate { member },
        19 => Event::Heal,
        20 => Event::Api { up: r.below(3) > 0 },
        21 => Event::Save { member },
        22 => Event::Outdate,
        23 => Event::Scale { replicas: 2 + r.below(4) },
        24 => Event::Wait { replicas: 1 + r.below(2) },
        25 => Event::Change { template: TEMPLATES[r.below(5)] },
        26 => Event::Reject { member },
        _ => Event::Later { ms: [1, 20, 300, 700, 1100, 3000, 5000][r.below(7)] },
    }
}

/// What a number of histories came to.
#[derive(Debug, Default)]
pub struct Tally {
    pub histories: u64,
    pub broken: BTreeMap<&'static str, (u64, u64)>, // how many, the first seed
    pub failovers: u64,
    pub switchovers: u64,
    pub confirmed: u64,
    pub full_syncs: u64,
}

/// Runs the histories of these seeds on all cores; stops early when `enough` says so.
pub fn run(
    seeds: std::ops::Range<u64>,
    faults: Faults,
    tampering: Tampering,
    enough: impl Fn(&Tally) -> bool + Sync,
) -> Tally {
    let next = AtomicU64::new(seeds.start);
    let tally = Mutex::new(Tally::default());
    let cores = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let from = next.fetch_add(64, Relaxed);
                    if from >= seeds.end || enough(&tally.lock().unwrap()) {
                        return;
                    }
                    for seed in from..(from + 64).min(seeds.end) {
                        let (broken, world) = History::random(seed, faults).run(tampering);
                        let mut t = tally.lock().unwrap();
                        t.histories += 1;
                        t.failovers += u64::from(world.facts.failovers);
                        t.switchovers += u64::from(world.facts.switchovers);
                        t.full_syncs += u64::from(world.facts.full_syncs);
                        t.confirmed += u64::from(world.facts.confirmed.count_ones());
                        if let Some((v, _)) = broken {
                            let entry = t.broken.entry(v.invariant).or_insert((0, seed));
                            (entry.0, entry.1) = (entry.0 + 1, entry.1.min(seed));
                        }
                    }
                }
            });
        }
    });
    tally.into_inner().unwrap()
}

/// An operator that sends after it has lost its lease does no harm that the record cannot mend.
#[test]
fn a_stale_operator_keeps_the_invariants() {
    let count = number("SIMULATION_HISTORIES", 20_000);
    let tally = run(0..count, Faults::Stale, Tampering::default(), |_| false);
    println!("{tally:?}");
    expect_whole(&tally, Faults::Stale);
}

/// Fails with the shortest form of the first history that breaks something.
fn expect_whole(tally: &Tally, faults: Faults) {
    let mut told = String::new();
    for (invariant, (count, seed)) in &tally.broken {
        let short = History::random(*seed, faults).shrink(Tampering::default(), invariant);
        let _ = writeln!(told, "── {invariant}, {count} times; seed {seed}\n{}", short.tell(Tampering::default()));
    }
    assert!(told.is_empty(), "{:?}\n{told}", tally.broken);
}

/// A number from the environment.
pub fn number<T: std::str::FromStr>(variable: &str, default: T) -> T {
    std::env::var(variable).ok().and_then(|s| s.parse().ok()).unwrap_or(default)
}

#[test]
fn any_history_keeps_the_invariants() {
    let (from, count) = (number("SIMULATION_SEED", 0), number::<u64>("SIMULATION_HISTORIES", 30_000));
    let began = Instant::now();
    let tally = run(from..from + count, Faults::Usual, Tampering::default(), |_| false);
    println!("{tally:?} in {:.0} s", began.elapsed().as_secs_f64());
    expect_whole(&tally, Faults::Usual);
}
