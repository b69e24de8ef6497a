//! The simulated Redis and real ones live through the same histories, and are compared after each event.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use test_support::redis_server::RedisServer as Server;

use super::{
    fleet::Fleet,
    random::Random,
    redis::{Entry, Id, Refusal},
};

const N: usize = 3;
const HISTORIES: u64 = 100;
const LENGTH: usize = 9;
/// How many histories run at a time: they mostly wait.
const SIDE_BY_SIDE: usize = 6;
const BACKLOG: usize = 40;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disk {
    Memory,
    Rdb,
    Aof,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Set(usize),
    /// More than the backlog holds.
    Flood(usize),
    /// A write and `WAIT`, while one other member may be stopped.
    Wait(usize, usize, Option<usize>),
    Promote(usize),
    Freeze(usize),
    Follow(usize, usize),
    Restart(usize),
    Save(usize),
    MinReplicas(usize, usize),
}

fn history(seed: u64) -> (Disk, Vec<Event>) {
    let mut r = Random::new(seed);
    let disk = [Disk::Memory, Disk::Rdb, Disk::Aof][r.below(3)];
    let mut events = match r.below(4) {
        0 => vec![Event::Promote(0), Event::Set(0), Event::Freeze(0), Event::Promote(0), Event::Set(0)], // unheard
        _ => vec![Event::Promote(0), Event::Follow(1, 0), Event::Set(0), Event::Follow(2, 0)],
    };
    let mut master = 0; // who probably is one: most events should be about it
    for _ in 0..LENGTH {
        let i = r.below(N);
        events.push(match r.weighted(&[4, 1, 3, 3, 2, 6, 3, 2, 1]) {
            0 => Event::Set(master),
            1 => Event::Flood(master),
            2 => Event::Wait(master, 1 + r.below(2), Some(r.below(N)).filter(|j| *j != master)),
            3 => {
                master = i;
                Event::Promote(i)
            }
            4 => Event::Freeze(i),
            5 => Event::Follow(i, if i == master { r.below(N) } else { master }),
            6 => Event::Restart(i),
            7 => Event::Save(i),
            _ => Event::MinReplicas(master, r.below(3)),
        });
    }
    (disk, events)
}

/// Both sides of one history.
struct Pair {
    model: Fleet,
    real: Vec<Server>,
    disk: Disk,
    writes: u8,
    /// Which real id each simulated one stands for, and the other way round.
    ids: HashMap<Id, String>,
    names: HashMap<String, Id>,
}

impl Pair {
    fn new(disk: Disk) -> Self {
        let appendonly = if disk == Disk::Aof { "yes" } else { "no" };
        let arguments = format!(
            "--appendonly {appendonly} --appendfsync always --repl-backlog-size 32kb --repl-ping-replica-period 3600"
        );
        let arguments: Vec<_> = arguments.split(' ').collect();
        let mut model = Fleet::new(N, BACKLOG, disk == Disk::Aof);
        (0..N).for_each(|i| model.start(i));
        let real = (0..N).map(|_| Server::member(&arguments)).collect();
        Self { model, real, disk, writes: 0, ids: HashMap::new(), names: HashMap::new() }
    }

    fn happen(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Set(i) => drop(self.set(i)?),
            Event::Flood(i) => self.flood(i)?,
            Event::Wait(i, wanted, stopped) => self.wait(i, wanted, stopped)?,
            Event::Promote(i) => {
                self.model.promote(i);
                self.real[i].ask::<()>("REPLICAOF NO ONE").unwrap();
            }
            Event::Freeze(i) => {
                self.model.follow(i, None);
                self.real[i].ask::<()>("REPLICAOF 127.0.0.1 1").unwrap();
            }
            Event::Follow(i, j) if i != j => {
                self.model.follow(i, Some(j));
                let port = self.real[j].port;
                self.real[i].ask::<()>(&format!("REPLICAOF 127.0.0.1 {port}")).unwrap();
            }
            Event::Follow(..) => {}
            Event::Restart(i) => {
                self.model.kill(i);
                self.real[i].kill();
                self.model.start(i);
                self.real[i].start();
            }
            Event::Save(i) if self.disk == Disk::Rdb => {
                self.model.save(i);
                self.real[i].ask::<()>("SAVE").unwrap();
            }
            Event::Save(_) => {}
            Event::MinReplicas(i, count) => {
                self.model.redis_mut(i).unwrap().min_replicas = count;
                self.real[i].ask::<()>(&format!("CONFIG SET min-replicas-to-write {count}")).unwrap();
            }
        }
        self.compare()
    }

    fn set(&mut self, i: usize) -> Result<Option<u64>, String> {
        self.writes += 1;
        let expected = self.model.write(i, self.writes);
        let found = self.real[i].write(&format!("k{}", self.writes));
        let code = match expected {
            Ok(_) => None,
            Err(Refusal::ReadOnly) => Some("READONLY"),
            Err(Refusal::NoReplicas) => Some("NOREPLICAS"),
            Err(other) => return Err(format!("unexpected {other:?}")),
        };
        if code == found.as_ref().err().map(String::as_str) {
            Ok(expected.ok())
        } else {
            Err(format!("a write on {i}: expected {expected:?}, got {found:?}"))
        }
    }

    fn flood(&mut self, i: usize) -> Result<(), String> {
        if self.set(i)?.is_some() {
            (0..BACKLOG).for_each(|_| self.model.feed(i, Entry::Filler));
            let text = "x".repeat(8000);
            (0..20).for_each(|_| self.real[i].ask::<()>(&format!("SET flood {text}")).unwrap());
        }
        Ok(())
    }

    fn wait(&mut self, i: usize, wanted: usize, stopped: Option<usize>) -> Result<(), String> {
        if let Some(j) = stopped {
            self.model.redis_mut(j).unwrap().stopped = true;
            self.real[j].signal("STOP");
        }
        let written = self.set(i);
        let mut counts = (0, 0);
        if let Ok(Some(offset)) = written {
            self.model.ask_acks(i, offset, wanted);
            self.quiesce();
            counts.0 = self.model.redis(i).unwrap().acknowledged_by(offset);
            let patience = if counts.0 < wanted { 1000 } else { 5000 };
            counts.1 = self.real[i].ask(&format!("WAIT {wanted} {patience}")).unwrap();
        }
        if let Some(j) = stopped {
            self.model.resume(j);
            self.real[j].signal("CONT");
        }
        // with enough of them WAIT does not wait for the others
        if counts.0.min(wanted) == counts.1.min(wanted) {
            written.map(drop)
        } else {
            Err(format!("WAIT {wanted} on {i}: expected {}, got {}", counts.0, counts.1))
        }
    }

    /// Until nothing is on its way.
    fn quiesce(&mut self) {
        for _ in 0..100 {
            let before = self.model.hosts.clone();
            (0..N).for_each(|i| self.model.receive(i, usize::MAX));
            self.model.settle();
            if self.model.hosts == before {
                return;
            }
        }
        panic!("the simulated servers never come to rest");
    }

    /// Waits until the real servers say what the simulated ones say.
    fn compare(&mut self) -> Result<(), String> {
        self.quiesce();
        let deadline = Instant::now() + Duration::from_secs(6);
        loop {
            match self.difference() {
                None => return Ok(()),
                Some(words) if Instant::now() > deadline => return Err(words),
                Some(_) => thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    fn difference(&mut self) -> Option<String> {
        let mut out = String::new();
        let infos: Vec<_> = self.real.iter_mut().map(Server::info).collect();
        let offset = |i: usize| infos[i].number::<u64>("master_repl_offset").unwrap();
        for (i, info) in infos.iter().enumerate() {
            let model = self.model.redis(i).unwrap().clone();
            let text = |field: &str| info.get(field);
            if ["loading", "rdb_bgsave_in_progress", "aof_rewrite_in_progress", "aof_rewrite_scheduled"]
                .iter()
                .any(|field| text(field) != "0")
            {
                return Some(format!("{i} is busy with its files"));
            }
            let facts = [
                ("role", if model.is_master() { "master" } else { "slave" }.to_owned()),
                ("connected_slaves", model.attached.len().to_string()),
                ("sync_full", model.full_syncs.to_string()),
                ("sync_partial_ok", model.partial_syncs.to_string()),
            ];
            for (field, expected) in facts {
                if text(field) != expected {
                    let _ = writeln!(out, "{i}: {field} should be {expected}, is {}", text(field));
                }
            }
            if !model.is_master() && (text("master_link_status") == "up") != model.is_online() {
                let _ = writeln!(out, "{i}: the link should be {}", if model.is_online() { "up" } else { "down" });
            }
            let expected: BTreeSet<u8> = (0..=self.writes).filter(|w| model.data & (1 << w) != 0).collect();
            let found = self.data(i);
            if found != expected {
                let _ = writeln!(out, "{i}: has {found:?}, should have {expected:?}");
            }
            let id2 = text("master_replid2");
            let id2 = Some(id2).filter(|id| id.chars().any(|c| c != '0'));
            if id2.is_some() != model.id2.is_some() {
                let _ = writeln!(out, "{i}: id2 should be {:?}, is {id2:?}", model.id2);
            }
        }
        if out.is_empty() {
            for (i, info) in infos.iter().enumerate() {
                let model = self.model.redis(i).unwrap().clone();
                self.same(model.id, info.get("master_replid"), &format!("{i}: id"), &mut out);
                if let Some((id2, _)) = model.id2 {
                    self.same(id2, info.get("master_replid2"), &format!("{i}: id2"), &mut out);
                }
                for j in 0..N {
                    let other = self.model.redis(j).unwrap();
                    if model.id == other.id {
                        let (expected, found) = (model.offset.cmp(&other.offset), offset(i).cmp(&offset(j)));
                        if expected != found {
                            let _ = writeln!(out, "offset of {i} against {j}: should be {expected:?}, is {found:?}");
                        }
                    }
                }
                if let Some((_, valid)) = model.id2 {
                    let found: u64 = info.number("second_repl_offset").unwrap();
                    if (found - 1).cmp(&offset(i)) != valid.cmp(&model.offset) {
                        let _ = writeln!(out, "{i}: id2 should be valid up to {valid} of {}", model.offset);
                    }
                }
            }
        }
        (!out.is_empty()).then_some(out)
    }

    fn data(&mut self, i: usize) -> BTreeSet<u8> {
        let keys: Vec<String> = self.real[i].ask("KEYS k*").unwrap_or_default();
        keys.iter().filter_map(|k| k.strip_prefix('k')?.parse().ok()).collect()
    }

    /// Ids stand for each other one to one, through the whole history.
    fn same(&mut self, id: Id, name: &str, what: &str, out: &mut String) {
        let known = self.ids.entry(id).or_insert_with(|| name.to_owned());
        let back = self.names.entry(name.to_owned()).or_insert(id);
        if known != name || *back != id {
            let _ = writeln!(out, "{what}: {id} was {known}, {name} was {back}");
        }
    }
}

/// Runs one history; returns what differed.
fn run(seed: u64) -> Result<(u64, u64), String> {
    let (disk, events) = history(seed);
    let mut pair = Pair::new(disk);
    for (at, event) in events.iter().enumerate() {
        pair.happen(*event).map_err(|words| {
            format!(
                "seed {seed}, {disk:?}: after {event:?}\n{words}in {:?}\nexpected {:#?}",
                &events[..=at],
                pair.model
            )
        })?;
    }
    let count = |f: fn(&super::redis::Redis) -> u64| (0..N).filter_map(|i| pair.model.redis(i)).map(f).sum();
    Ok((count(|r| r.full_syncs), count(|r| r.partial_syncs)))
}

#[test]
fn the_simulated_redis_behaves_like_a_real_one() {
    let next = AtomicU64::new(0);
    let only = std::env::var("SIMULATION_SEED").ok().and_then(|s| s.parse::<u64>().ok());
    let results: Vec<_> = thread::scope(|scope| {
        let work = || {
            let mut results = Vec::new();
            loop {
                let seed = next.fetch_add(1, Relaxed);
                if seed >= HISTORIES {
                    return results;
                }
                if only.is_none_or(|s| s == seed) {
                    results.push(run(seed));
                }
            }
        };
        let threads: Vec<_> = (0..SIDE_BY_SIDE).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    let failed: Vec<_> = results.iter().filter_map(|r| r.as_ref().err()).collect();
    assert!(failed.is_empty(), "{} of {} differ; the first:\n{}", failed.len(), results.len(), failed[0]);
    let (full, partial) = results.iter().flatten().fold((0, 0), |(f, p), (a, b)| (f + a, p + b));
    println!("{} histories, {full} full and {partial} partial synchronisations", results.len());
    assert!(only.is_some() || (full > 20 && partial > 20), "the histories must be about something");
}
