//! Every interleaving of faults in a small world, breadth first. Two worlds that differ only in names and in times that no
//! rule looks at any more are one.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Mutex,
    thread,
};

use redis_replication_operator::{
    api::FailoverPolicy,
    replication::{Contact, Moment, Settings},
};

use super::{
    histories::{History, number},
    redis::{Link, Role, Time},
    world::{Event, Shape, Tampering, World},
};

/// Longer ago than any rule looks back, in milliseconds.
const LONG_AGO: u128 = 12_000;
const ROUND: Event = Event::Round { cut_after: usize::MAX, luck: 0 };

/// What goes on by itself, and what breaks. A path has so many of the latter at most.
const COURSE: [Event; 5] =
    [ROUND, Event::ReceiveAll, Event::Write { wait: true }, Event::Later { ms: 1100 }, Event::Later { ms: 4100 }];

fn faults() -> Vec<Event> {
    let each = |f: fn(usize) -> Event| (0..3).map(f);
    let mut all = vec![Event::Crash, Event::Stall, Event::Unstall, Event::Round { cut_after: 1, luck: 0 }, Event::Heal];
    all.extend(each(|member| Event::Kill { member }));
    all.extend(each(|member| Event::Start { member }));
    all.extend(each(|member| Event::Stop { member }));
    all.extend(each(|member| Event::Continue { member }));
    all.extend(each(|member| Event::Isolate { member }));
    all.extend(each(|member| Event::Cut { from: None, to: Some(member) }));
    all.extend(each(|member| Event::Cut { from: Some(member), to: Some((member + 1) % 3) }));
    all.push(Event::WriteTo { member: 0, wait: true });
    all
}

/// Names in the order in which they appear.
#[derive(Default)]
struct Names(HashMap<String, usize>);

impl Names {
    fn of(&mut self, name: &impl ToString) -> usize {
        let next = self.0.len();
        *self.0.entry(name.to_string()).or_insert(next)
    }
}

/// What of a world matters for what can happen in it.
fn key(w: &World) -> u64 {
    let mut h = DefaultHasher::new();
    let mut names = Names::default();
    let now = w.fleet.now;
    let age = |at: Moment| (u128::from(now)).saturating_sub(at.as_millis()).min(LONG_AGO);
    let ms = |at: Time| now.saturating_sub(at).min(12_000);
    (now % 1000).hash(&mut h); // where the crons are
    for host in &w.fleet.hosts {
        host.dark.hash(&mut h);
        host.disk.rdb.as_ref().map(|s| (s.data, s.lineage.map(|(id, at)| (names.of(&id), at)))).hash(&mut h);
        let Some(r) = &host.redis else { continue };
        (names.of(&r.run), names.of(&r.id), r.id2.map(|(id, at)| (names.of(&id), at))).hash(&mut h);
        (r.offset, r.data, r.good, r.min_replicas, r.pings, r.stopped, &r.queue, r.loading).hash(&mut h);
        r.backlog.as_ref().map(|b| b.start).hash(&mut h);
        r.held_until.map(|until| until.saturating_sub(now)).hash(&mut h);
        for a in &r.attached {
            (a.replica, names.of(&a.conn), a.online, a.acked, ms(a.acked_at / 1000 * 1000), a.unread, a.ended)
                .hash(&mut h);
        }
        if let Role::Replica { of, cached, link } = &r.role {
            (of, cached).hash(&mut h);
            match link {
                Link::Down => 0.hash(&mut h),
                Link::Receiving { conn, copy, pipe } => (1, names.of(&conn), copy.data, pipe).hash(&mut h),
                Link::Loading { conn, copy, pipe } => (2, names.of(&conn), copy.data, pipe).hash(&mut h),
                Link::Online { conn, pipe } => (3, names.of(&conn), pipe).hash(&mut h),
            }
        }
    }
    (&w.fleet.cuts, w.route, w.api_down, w.stalled.is_some(), w.facts.confirmed).hash(&mut h);
    for w in &w.waiting {
        (w.write, w.host, w.offset).hash(&mut h);
    }
    let r = &w.record;
    (&r.master, r.min_replicas, r.wait_replicas).hash(&mut h);
    (r.replication_id.as_ref().map(|i| names.of(i)), r.previous_replication_id.as_ref().map(|i| names.of(i)))
        .hash(&mut h);
    r.transition.as_ref().map(|t| (t.kind, &t.from, &t.to, t.phase)).hash(&mut h);
    for (n, m) in &r.members {
        (n, m.run_id.as_ref().map(|i| names.of(i)), &m.uid).hash(&mut h);
    }
    (w.operator.version == w.version).hash(&mut h);
    for (i, l) in &w.operator.links {
        let server = l.health.server();
        (i, l.run.map(|r| names.of(&r)), server.silent_since.map(age), l.unacknowledged.map(ms)).hash(&mut h);
        match server.contact {
            Contact::None => 0.hash(&mut h),
            Contact::Up => 1.hash(&mut h),
            Contact::Closed { since } => (2, age(since)).hash(&mut h),
            Contact::Refused { since } => (3, age(since)).hash(&mut h),
            Contact::HostSilent { since } => (4, age(since)).hash(&mut h),
        }
        server.offset_stall.map(|s| (age(s.since), age(s.until))).hash(&mut h);
        if let Some((at, i)) = &server.info {
            (age(*at), names.of(&i.run_id), names.of(&i.replication_id), i.offset, i.keys, i.loading).hash(&mut h);
            (i.min_replicas, i.is_master(), i.replica().map(|r| (&r.master_host, format!("{:?}", r.follow))))
                .hash(&mut h);
        }
    }
    let m = &w.operator.memory;
    (m.masterless_since.map(age), m.gone_since.map(age), m.without_replicas_since.map(age), m.routed_at.map(age))
        .hash(&mut h);
    m.company_since.map(age).hash(&mut h);
    m.behind.iter().for_each(|(n, since)| (n, age(*since)).hash(&mut h));
    m.links.iter().for_each(|(n, t)| (n, names.of(&t.run_id), age(t.at), t.copies, t.renewals).hash(&mut h));
    (m.hold.as_ref().map(|x| (&x.member, age(x.since))), m.abandoned_at.map(age)).hash(&mut h);
    m.demoted.iter().for_each(|(n, d)| (n, age(d.at), d.offset, d.dropped).hash(&mut h));
    m.detached.iter().for_each(|(n, f)| (n, age(f.since), names.of(&f.run_id)).hash(&mut h));
    m.catching_up
        .iter()
        .for_each(|(n, j)| (n, j.target.needed.as_ref().map(|(_, at)| at), names.of(&j.run_id)).hash(&mut h));
    m.killed.iter().for_each(|(n, at)| (n, age(*at)).hash(&mut h));
    for (host, run, command) in &w.delayed {
        (host, names.of(&run), format!("{command:?}")).hash(&mut h);
    }
    if let Some(s) = &w.stalled {
        format!("{:?}", s.steps.len()).hash(&mut h);
        s.steps.iter().for_each(|step| std::mem::discriminant(step).hash(&mut h));
    }
    h.finish()
}

/// The way to a world, which is walked again when it is needed: there are too many worlds to keep.
#[derive(Clone)]
struct Path {
    events: Vec<Event>,
    faults: usize,
}

/// Visits everything within `depth` events of which `most` are faults; returns how many states, and the first violation.
fn search(shape: &Shape, tampering: Tampering, depth: usize, most: usize) -> (usize, Option<Vec<Event>>) {
    let begin = World::new(shape, tampering);
    let walk = |path: &Path| {
        let mut world = begin.clone();
        path.events.iter().for_each(|e| world.happen_at_once(*e));
        world
    };
    let events: Vec<_> = COURSE.map(|e| (e, 0)).into_iter().chain(faults().into_iter().map(|e| (e, 1))).collect();
    let seen = Mutex::new(HashSet::from([key(&begin)]));
    let broken = Mutex::new(None);
    let mut frontier = vec![Path { events: Vec::new(), faults: 0 }];
    let cores = thread::available_parallelism().map_or(2, usize::from);
    for _ in 0..depth {
        let visit = |paths: &[Path]| {
            let mut next = Vec::new();
            for path in paths {
                let here = walk(path);
                for (event, fault) in events.iter().filter(|(_, fault)| path.faults + fault <= most) {
                    let mut world = here.clone();
                    world.happen_at_once(*event);
                    let events = path.events.iter().copied().chain([*event]).collect();
                    if world.broken.is_some() {
                        broken.lock().unwrap().get_or_insert(events);
                        return next;
                    }
                    if seen.lock().unwrap().insert(key(&world)) {
                        next.push(Path { events, faults: path.faults + fault });
                    }
                }
            }
            next
        };
        frontier = thread::scope(|scope| {
            let parts = frontier.chunks(frontier.len().div_ceil(cores).max(1));
            let threads: Vec<_> = parts.map(|part| scope.spawn(move || visit(part))).collect();
            threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
        });
        if broken.lock().unwrap().is_some() {
            break;
        }
    }
    (seen.into_inner().unwrap().len(), broken.into_inner().unwrap())
}

fn shape(policy: FailoverPolicy) -> Shape {
    let settings = Settings { name: "shop".into(), replicas: 3, policy, wait_replicas: 1, ..Settings::default() };
    Shape { settings, appendonly: false, backlog: 64 }
}

fn whole(policy: FailoverPolicy, depth: usize) {
    let (depth, most) = (number("SIMULATION_DEPTH", depth), 2);
    let (states, broken) = search(&shape(policy), Tampering::default(), depth, most);
    println!("{policy:?}: {states} states within {depth} events, {most} of them faults");
    if let Some(events) = broken {
        panic!("{}", History { shape: shape(policy), events }.tell(Tampering::default()));
    }
    assert!(states > 10_000, "the search must have gone somewhere: {states}");
}

#[test]
fn every_interleaving_keeps_the_invariants_under_consistency() {
    whole(FailoverPolicy::Consistency, 6);
}

#[test]
fn every_interleaving_keeps_the_invariants_under_availability() {
    whole(FailoverPolicy::Availability, 5);
}
