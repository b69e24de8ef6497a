//! `min-replicas-to-write`, the fence of a master that nobody reaches: how long does it take writes whose replicas have
//! fallen silent?

use std::{
    thread,
    time::{Duration, Instant},
};

use test_support::redis_server::RedisServer as Server;

use super::{fleet::Fleet, redis::Time};

const LAG: u64 = 1;
const PAIRS: u64 = 12;
/// What the machine may add: a cron is late, a thread sleeps.
const NOISE: Time = 300;

/// A simulated master and its replica, a moment after they have settled.
fn pair(master_cron: Time, replica_cron: Time, after: Time) -> Fleet {
    let mut f = Fleet::new(2, 100, false);
    (f.hosts[0].cron, f.hosts[1].cron) = (master_cron, replica_cron);
    (0..2).for_each(|i| f.start(i));
    f.promote(0);
    let master = f.redis_mut(0).unwrap();
    (master.min_replicas, master.max_lag) = (1, LAG);
    f.follow(1, Some(0));
    (0..4).for_each(|_| f.receive(1, 100));
    f.advance(3000 + after);
    f
}

/// When it takes its last write, from now.
fn last_write(f: &mut Fleet) -> Time {
    let from = f.now;
    while f.write(0, 0).is_ok() {
        assert!(f.now < from + 10_000, "it takes writes for ever");
        f.advance(10);
    }
    f.now - from
}

/// When the simulated master last took a write, counted from the moment when its replica fell silent.
fn simulated(master_cron: Time, replica_cron: Time, silent_at: Time) -> Time {
    let mut f = pair(master_cron, replica_cron, silent_at);
    f.redis_mut(1).unwrap().stopped = true;
    last_write(&mut f)
}

/// Makes one the master of the other, and waits until it takes writes.
fn attach(master: &mut Server, replica: &mut Server) {
    master.ask::<()>("REPLICAOF NO ONE").unwrap();
    replica.ask::<()>(&format!("REPLICAOF 127.0.0.1 {}", master.port)).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while master.write("k").is_err() {
        assert!(Instant::now() < deadline, "it never takes a write");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Real ones, in one of several phases to each other.
fn real_pair(pair: u64) -> (Server, Server) {
    let arguments = format!("--min-replicas-to-write 1 --min-replicas-max-lag {LAG}");
    let arguments: Vec<_> = arguments.split(' ').collect();
    let mut master = Server::member(&arguments);
    thread::sleep(Duration::from_millis(pair * 1000 / PAIRS)); // another phase of its cron
    let mut replica = Server::member(&[]);
    attach(&mut master, &mut replica);
    thread::sleep(Duration::from_millis(1000 + pair * 370 % 1000));
    (master, replica)
}

fn last_real_write(master: &mut Server) -> Time {
    let from = Instant::now();
    let mut last = Duration::ZERO;
    while from.elapsed() < Duration::from_millis(LAG * 1000 + 2500) {
        match master.write("k") {
            Ok(()) => last = from.elapsed(),
            Err(code) => assert_eq!(code, "NOREPLICAS"),
        }
        thread::sleep(Duration::from_millis(5));
    }
    last.as_millis().try_into().unwrap()
}

/// The same as `simulated` with real servers.
fn measured(pair: u64) -> Time {
    let (mut master, replica) = real_pair(pair);
    replica.signal("STOP");
    let last = last_real_write(&mut master);
    replica.signal("CONT");
    last
}

fn side_by_side(measure: impl Fn(u64) -> Time + Sync) -> Vec<Time> {
    let measure = &measure;
    thread::scope(|scope| {
        let pairs: Vec<_> = (0..PAIRS).map(|pair| scope.spawn(move || measure(pair))).collect();
        pairs.into_iter().map(|p| p.join().unwrap()).collect()
    })
}

/// In each phase of the two crons, and of the moment at which it begins.
fn in_all_phases(measure: impl Fn(Time, Time, Time) -> Time) -> Vec<Time> {
    let phases = || (0..1000).step_by(90);
    let measure = &measure;
    phases().flat_map(|m| phases().flat_map(move |r| phases().map(move |s| measure(m, r, s)))).collect()
}

/// The earliest and the latest of all phases.
fn bounds() -> (Time, Time) {
    let all = in_all_phases(simulated);
    all.into_iter().fold((Time::MAX, 0), |(low, high), t| (low.min(t), high.max(t)))
}

#[test]
fn a_master_whose_replicas_fall_silent_takes_writes_for_less_than_its_lag_and_two_seconds() {
    let (earliest, latest) = bounds();
    assert!(latest <= LAG * 1000 + 2000, "the fence of failover.md would be too short: {latest} ms");
    assert!(latest > LAG * 1000 + 1500, "{latest} ms: the phases of the crons must matter");
    let measured = side_by_side(measured);
    println!("last write after {measured:?} ms; simulated {earliest} to {latest} ms");
    for ms in measured {
        assert!(ms + NOISE >= earliest && ms <= latest + NOISE, "{ms} ms, expected {earliest} to {latest} ms");
    }
}

/// A master is stopped, its replica falls silent, and the master goes on: for how long does it take writes from then on?
/// `heard`: what the replica said meanwhile lies in its socket.
fn resumed(heard: bool) -> Time {
    let all = in_all_phases(|master_cron, replica_cron, after| {
        let mut f = pair(master_cron, replica_cron, after);
        f.redis_mut(0).unwrap().stopped = true;
        f.advance(if heard { 1500 } else { 0 });
        f.redis_mut(1).unwrap().stopped = true;
        f.advance(LAG * 1000 + 3000);
        f.resume(0);
        last_write(&mut f)
    });
    all.into_iter().max().unwrap()
}

/// The same with real servers.
fn resumed_for_real(pair: u64, heard: bool) -> Time {
    let (mut master, replica) = real_pair(pair);
    if heard {
        master.signal("STOP");
        thread::sleep(Duration::from_millis(1500));
        replica.signal("STOP");
    } else {
        // one after the other would leave the replica time to say something, on a busy machine
        Server::signal_all(&[&replica, &master], "STOP");
    }
    thread::sleep(Duration::from_millis(LAG * 1000 + 3000));
    master.signal("CONT");
    let last = last_real_write(&mut master);
    replica.signal("CONT");
    last
}

#[test]
fn a_stopped_master_that_goes_on_counts_for_a_while_on_what_its_replicas_had_said() {
    for heard in [false, true] {
        let bound = if heard { LAG * 1000 + 2000 } else { 1000 };
        let simulated = resumed(heard);
        assert!(simulated <= bound && simulated > bound - 500, "{simulated} ms");
        let measured = side_by_side(|pair| resumed_for_real(pair, heard));
        println!("heard {heard}: last write after {measured:?} ms; simulated up to {simulated} ms");
        assert!(measured.iter().all(|ms| *ms <= bound + NOISE), "{measured:?}");
        assert!(measured.iter().any(|ms| *ms > bound / 4), "nothing is taken: {measured:?}");
    }
}

#[test]
fn a_closed_connection_is_noticed_at_once() {
    let mut master = Server::member(&["--min-replicas-to-write", "1", "--min-replicas-max-lag", "2"]);
    let mut replica = Server::member(&[]);
    attach(&mut master, &mut replica);
    replica.ask::<()>("REPLICAOF 127.0.0.1 1").unwrap();
    thread::sleep(Duration::from_millis(100));
    assert_eq!(master.write("k"), Err("NOREPLICAS".to_owned()));
}
