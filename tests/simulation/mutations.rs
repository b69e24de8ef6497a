//! Each rule of the protocol taken away, and the invariant that breaks without it. A rule whose loss nothing notices would be
//! a rule that nothing needs, or a hole in the simulation.

use redis_replication_operator::{
    api::TransitionKind,
    replication::{Change, Contact, Member, Moment, Observation, Recorded, Step, serving_master},
};

use super::{
    histories::{self, Faults},
    world::Tampering,
};

/// So many histories at most until it shows.
const HISTORIES: u64 = 100_000;

/// Without this rule one of these invariants breaks, in a bounded number of histories.
fn breaks(rule: &str, tampering: Tampering, invariants: &[&str]) {
    let found = |t: &histories::Tally| t.broken.keys().any(|i| invariants.contains(i));
    let ends_early = !invariants.contains(&"I12");
    let tally = histories::run(0..HISTORIES, Faults::Usual, Tampering { ends_early, ..tampering }, found);
    println!("without {rule}: {:?} in {} histories", tally.broken, tally.histories);
    assert!(
        found(&tally),
        "nothing notices that {rule} is missing, in {} histories: {:?}",
        tally.histories,
        tally.broken
    );
}

/// A pod whose Redis starts as a master, as it does without `replicaof`: empty, it takes writes and wipes its replicas.
#[test]
fn without_the_boot_rule() {
    breaks("the boot rule", Tampering { boots_as_master: true, ..Tampering::default() }, &["I3", "I13"]);
}

/// Every process counts as the one that the record knows.
#[test]
fn without_the_amnesia_rule() {
    fn facts(o: &mut Observation) {
        for (name, member) in &o.members {
            if let (Some((_, info)), Some(recorded)) = (&member.server.info, o.record.members.get_mut(name)) {
                let uid = member.pod.as_ref().map(|p| p.uid.clone());
                *recorded = Recorded { run_id: Some(info.run_id.clone()), uid };
            }
        }
    }
    breaks("the amnesia rule", Tampering { facts, ..Tampering::default() }, &["I4", "I13"]);
}

/// The target is promoted beside the write that should come first.
#[test]
fn without_the_record_before_the_promotion() {
    fn steps(o: &Observation, steps: &mut Vec<Step>) {
        let begun = steps.iter().find_map(|s| match s {
            Step::Record(changes) => changes.iter().find_map(|c| match c {
                Change::Begin { transition: t, min_replicas, .. } if t.kind == TransitionKind::Failover => {
                    Some((t.to.clone(), *min_replicas))
                }
                _ => None,
            }),
            _ => None,
        });
        if let Some((member, min_replicas)) = begun
            && o.record.epoch > 0
        {
            steps.insert(0, Step::Promote { member, min_replicas });
        }
    }
    breaks("the record before the promotion", Tampering { steps, ..Tampering::default() }, &["I2"]);
}

/// Replicas seem to have been detached for ever.
#[test]
fn without_the_wait_for_the_fence() {
    fn facts(o: &mut Observation) {
        o.memory.detached.values_mut().for_each(|f| f.since = std::time::Duration::ZERO);
    }
    breaks("the wait for the fence", Tampering { facts, ..Tampering::default() }, &["I3"]);
}

/// Its connection is refused, and the kubelet says that its container has ended.
fn dies(member: &mut Member, now: Moment) {
    member.server.contact = Contact::Refused { since: now };
    member.pod.iter_mut().for_each(|pod| pod.running = false);
}

/// A connection that ended is the proof of death by itself, and so is silence.
#[test]
fn without_the_proof_of_death() {
    fn facts(o: &mut Observation) {
        let now = o.now;
        for m in o.members.values_mut() {
            if matches!(m.server.contact, Contact::Closed { .. } | Contact::HostSilent { .. }) {
                dies(m, now);
            }
        }
    }
    breaks("the proof of death", Tampering { facts, ..Tampering::default() }, &["I3"]);
}

/// A hung master is not ended before another is chosen.
#[test]
fn without_the_end_of_a_hung_process() {
    fn steps(_: &Observation, steps: &mut Vec<Step>) {
        steps.retain(|s| !matches!(s, Step::DeleteHungPod { .. }));
    }
    fn facts(o: &mut Observation) {
        let (now, after) = (o.now, o.settings.unresponsive_after);
        for m in o.members.values_mut() {
            if m.server.silent_since.is_some_and(|since| now >= since + after) {
                dies(m, now);
            }
        }
    }
    breaks("the end of a hung process", Tampering { facts, steps, ..Tampering::default() }, &["I3", "I6"]);
}

/// The Service is pointed at the master that is hoped for.
#[test]
fn without_the_recorded_route() {
    fn steps(o: &Observation, steps: &mut Vec<Step>) {
        if o.memory.masterless_since.is_some()
            && let Some(n) = o.members.keys().next_back()
        {
            steps.push(Step::Route { to: n.clone() });
        }
    }
    breaks("the recorded route", Tampering { steps, ..Tampering::default() }, &["I7"]);
}

/// A replaced pod counts as well as soon as it is there.
#[test]
fn without_the_time_to_stay_well() {
    fn facts(o: &mut Observation) {
        o.memory.steady.values_mut().for_each(|s| (s.well, s.since) = (true, std::time::Duration::ZERO));
    }
    breaks("the time to stay well", Tampering { facts, ..Tampering::default() }, &["I15"]);
}

/// An outdated pod is replaced, though it runs and there is no master.
#[test]
fn without_the_master_that_has_everything() {
    fn steps(o: &Observation, steps: &mut Vec<Step>) {
        if serving_master(o).is_none() {
            let outdated = o.members.iter().filter(|(_, m)| m.pod.as_ref().is_some_and(|pod| pod.outdated));
            steps.extend(outdated.map(|(n, _)| Step::ReplacePod { member: n.clone(), reason: String::new() }));
        }
    }
    breaks("the master that has everything", Tampering { steps, ..Tampering::default() }, &["I14"]);
}

/// An untouched world is the measure of all these.
#[test]
fn with_all_rules_nothing_breaks() {
    let tally = histories::run(0..2000, Faults::Usual, Tampering::default(), |_| false);
    assert!(tally.broken.is_empty(), "{:?}", tally.broken);
    assert!(tally.failovers > 1000 && tally.switchovers > 100 && tally.confirmed > 1000, "{tally:?}");
}
