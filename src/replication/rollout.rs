//! Replacing pods that were made from an older template: one at a time, replicas first, the master last by switchover.

use super::{
    observation::{Observation, RoleLabel},
    steps::{Plan, Step, Topic},
    suspicion::{Verdict, verdict},
};

/// Outdated pods that do not run keep nothing going: they are replaced at once, so that a mended spec heals them.
pub(super) fn replace_broken(o: &Observation, p: &mut Plan) {
    for (name, member) in &o.members {
        let Some(pod) = &member.pod else { continue };
        let broken = pod.failure.is_some() && !matches!(verdict(o, member), Verdict::Alive(_));
        if pod.outdated && broken && !pod.leaving {
            let reason = "it does not run, and was made from an older spec".to_owned();
            p.steps.push(Step::Restart { member: name.clone(), reason });
        }
    }
}

/// The next replica to be replaced, while `master` serves and all others follow it.
pub(super) fn replace_replicas(o: &Observation, master: &str, p: &mut Plan) {
    let outdated = |name: &str| o.members.get(name).and_then(|m| m.pod.as_ref()).is_some_and(|pod| pod.outdated);
    let next = o.members.keys().filter(|n| *n != master && outdated(n)).max_by_key(|n| o.ordinal(n));
    let Some(next) = next else { return };
    match missing(o, master) {
        Some(missing) => p.wait(Topic::Rollout, format!("{next} is replaced as soon as {missing} follows the master")),
        None => p.steps.push(Step::Restart { member: next.clone(), reason: "it was made from an older spec".into() }),
    }
}

/// Is the master the only one left that was made from an older template?
pub(super) fn master_is_last(o: &Observation, master: &str) -> bool {
    let outdated = |m: &super::Member| m.pod.as_ref().is_some_and(|pod| pod.outdated);
    o.members.get(master).is_some_and(outdated)
        && o.members.iter().all(|(n, m)| n == master || !outdated(m))
        && missing(o, master).is_none()
}

/// The first wanted member that does not follow the master, or that the replicas Service does not lead to yet: readers
/// would be left with one less.
fn missing(o: &Observation, master: &str) -> Option<String> {
    let serves = |n: &str| {
        let pod = o.members.get(n).and_then(|m| m.pod.as_ref());
        online(o, n) && pod.is_some_and(|pod| pod.ready && pod.role == Some(RoleLabel::Replica))
    };
    (0..o.settings.replicas).map(|i| o.settings.name_of(i)).filter(|n| n != master).find(|n| !serves(n))
}

/// Does the member follow a master, with all data?
pub(super) fn online(o: &Observation, name: &str) -> bool {
    o.members.get(name).is_some_and(|m| match verdict(o, m) {
        Verdict::Alive(i) => !i.loading && !m.leaving() && i.is_online(),
        _ => false,
    })
}
