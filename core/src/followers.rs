//! Keeping the flock together while there is a master: everyone follows it, its Service and the labels name it, and the
//! clients of a former one are sent to it.

use std::time::Duration;

use super::{
    durability,
    failure_detector::{Liveness, liveness},
    following,
    observation::{Observation, RoleLabel},
    outsiders,
    steps::{Plan, Step, Topic},
};
use crate::info::Info;

/// When, after its demotion, the clients of a former master are sent away. They reconnect at once, and until kube-proxy
/// has heard of the change some of them come back to the same pod.
const DROP_AT: [Duration; 8] = [
    Duration::ZERO,
    Duration::from_millis(30),
    Duration::from_millis(70),
    Duration::from_millis(120),
    Duration::from_millis(200),
    Duration::from_millis(350),
    Duration::from_millis(700),
    Duration::from_millis(1500),
];

/// How long after a change of the master Service nothing else is changed that kube-proxy would hear of: it waits a second
/// between two syncs, and if the labels' change came first, clients would wait for the Service's.
const LABELS_AFTER: Duration = Duration::from_millis(1500);

/// Steps that bring all others behind `master`, which is alive and accepts writes.
pub(super) fn converge_followers(o: &Observation, master: &str, master_info: &Info, p: &mut Plan) {
    route(o, master, p);
    label(o, master, RoleLabel::Master, p);
    for (name, member) in o.members.iter().filter(|(n, _)| *n != master) {
        if let Some(demotion) = o.memory.demoted.get(name)
            && DROP_AT.get(demotion.dropped).is_some_and(|after| o.now >= demotion.at + *after)
        {
            p.steps.push(Step::DropClients { member: name.clone() });
        }
        let Liveness::Alive(info) = liveness(o, member) else { continue };
        follow(o, name, info, master, master_info, p);
    }
    if o.record.transition.is_none() {
        durability::keep(o, master, master_info, p);
        outsiders::disconnect(o, master, master_info, p);
        durability::refresh_concerned(o, master, master_info, p);
        following::look(o, master, p);
    }
}

/// Points the master Service at the recorded master, or target.
pub(super) fn route(o: &Observation, to: &str, p: &mut Plan) {
    if o.route.as_ref().is_some_and(|r| r.as_deref() != Some(to)) {
        p.steps.push(Step::Route { to: to.to_owned() });
    }
}

/// Everyone but `authorized_master` who accepts writes has to stop first; returns whether somebody does.
pub(super) fn disarm_rivals(o: &Observation, authorized_master: Option<&str>, p: &mut Plan) -> bool {
    let before = p.steps.len();
    for (name, member) in o.members.iter().filter(|(n, _)| Some(n.as_str()) != authorized_master) {
        if let Liveness::Alive(info) = liveness(o, member)
            && info.is_master()
        {
            let reason = "it accepted writes, and is not the recorded master".to_owned();
            p.steps.push(Step::Demote { member: name.clone(), offset: info.offset, reason });
        }
    }
    p.steps.len() > before
}

fn follow(o: &Observation, name: &str, info: &Info, master: &str, master_info: &Info, p: &mut Plan) {
    if o.address(master).is_none() || info.loading {
        return;
    }
    let reason = match info.replica() {
        None => "it accepted writes, and is not the recorded master",
        Some(_) if following::points_at(o, master, info) => {
            if following::is_stalled(o, name) {
                label(o, name, RoleLabel::Stale, p);
            } else if o.memory.demoted.get(name).is_none_or(demotion_over) && is_fresh(o, name, info) {
                label(o, name, RoleLabel::Replica, p);
            }
            following::give_up(o, name, master_info, p);
            return;
        }
        Some(_) if following::rests(o, name) => return,
        Some(_) if info.follows_nobody() => "it followed nobody",
        Some(_) => "it followed another",
    };
    if !o.record.members.contains_key(name) {
        return; // it is recorded first: until then it cannot have confirmed a write
    }
    // a member with data is never made to follow an empty one: its copy may be the last
    if master_info.keys == 0 && info.keys > 0 && !master_info.contains(info) {
        let text = format!(
            "{name} has data of another history and the master {master} has none: {name} is left alone, lest the last copy is lost; it follows once something is written to {master}; if its data is not needed, delete its pod (and its claim)"
        );
        return p.wait(Topic::DivergentHistory, text);
    }
    p.steps.push(Step::Follow { member: name.to_owned(), master: master.to_owned(), reason: reason.into() });
}

/// A member whose data was found to be out of date is read from again when it follows again.
fn is_fresh(o: &Observation, name: &str, info: &Info) -> bool {
    let role = o.members.get(name).and_then(|m| m.pod.as_ref()).and_then(|pod| pod.role);
    role != Some(RoleLabel::Stale) || info.is_online()
}

fn label(o: &Observation, name: &str, role: RoleLabel, p: &mut Plan) {
    if o.memory.routed_at.is_some_and(|at| o.now < at + LABELS_AFTER)
        || p.steps.iter().any(|s| matches!(s, Step::Route { .. }))
    {
        return;
    }
    let pod = o.members.get(name).and_then(|m| m.pod.as_ref());
    if pod.is_some_and(|pod| pod.role != Some(role) && !(pod.leaving && role == RoleLabel::Replica)) {
        p.steps.push(Step::Label { member: name.to_owned(), role });
    }
}

/// Is a demotion over: have the clients been sent away for the last time?
pub fn demotion_over(d: &super::Demotion) -> bool {
    d.dropped >= DROP_AT.len()
}
