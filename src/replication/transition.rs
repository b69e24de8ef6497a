//! A recorded change of master, from wherever it is to its end. Whoever resumes it goes on with the same target, or opens
//! the next epoch.

use std::time::Duration;

use super::{
    election::{Election, elect},
    observation::{Observation, Pending},
    shepherd,
    steps::{Plan, Step, Topic},
    suspicion::{Verdict, verdict},
};
use crate::{
    api::{Outcome, TransitionKind},
    redis::Info,
};

/// How long a master that hands over holds writes back at most; Redis ends it by itself if the operator dies.
pub const HOLD: Duration = Duration::from_secs(2);
/// A switchover is given up so long before the hold ends: nothing may be decided on a hold that is about to lapse.
const HOLD_MARGIN: Duration = Duration::from_millis(500);
/// How long the target may take to receive what the demoted master had sent; it was equal a moment ago.
const LAST_BYTES: Duration = Duration::from_millis(500);

/// The next steps of the transition `t`.
pub(super) fn proceed(o: &Observation, t: &Pending, p: &mut Plan) {
    let Some(target) = o.members.get(&t.to) else {
        return reelect(o, t, &t.to, "its pod is not one of the members any more", p);
    };
    match verdict(o.now, target) {
        Verdict::Alive(info) if !o.is_recorded_process(&t.to, info) => {
            target_lost(o, t, "its Redis restarted", p);
        }
        Verdict::Alive(info) if info.is_master() => {
            if o.route.as_ref().is_some_and(|r| r.as_deref() == Some(t.to.as_str())) {
                p.steps.push(Step::Close { outcome: Outcome::Completed, note: String::new() });
            }
            shepherd::gather(o, &t.to, info, p);
        }
        Verdict::Alive(info) => match t.kind {
            TransitionKind::Switchover => hand_over(o, t, info, p),
            TransitionKind::Failover | TransitionKind::Election => promote(o, t, p),
        },
        Verdict::Dead(evidence) => target_lost(o, t, &evidence, p),
        Verdict::Silent(words) => {
            // it may have been promoted already, and serve: nobody else until it is proven dead
            p.wait(Topic::Suspicion, format!("{} was chosen as master and is silent: {words}", t.to));
        }
    }
}

/// Nobody else may accept writes when the target begins to.
fn promote(o: &Observation, t: &Pending, p: &mut Plan) {
    if !shepherd::disarm_rivals(o, Some(&t.to), p) {
        p.steps.push(Step::Promote { member: t.to.clone() });
    }
}

/// Writes are held on the old master, the target receives the last of them, the old is demoted, the target promoted.
fn hand_over(o: &Observation, t: &Pending, target: &Info, p: &mut Plan) {
    let Some((name, from)) = t.from.as_ref().and_then(|f| o.members.get_key_value(f)) else {
        return promote(o, t, p);
    };
    let look = || Step::Look { members: vec![name.clone(), t.to.clone()] };
    match verdict(o.now, from) {
        Verdict::Alive(info) if !o.is_recorded_process(name, info) => {
            reelect(o, t, name, "its Redis restarted during the switchover", p);
        }
        Verdict::Alive(info) if info.is_master() => {
            let Some(hold) = o.memory.hold.as_ref().filter(|h| h.member == *name && h.run_id == info.run_id) else {
                p.steps.push(Step::HoldWrites { member: name.clone() });
                return;
            };
            let seen = from.server.info.as_ref().is_some_and(|(at, _)| *at >= hold.since);
            if o.now + HOLD_MARGIN >= hold.until {
                abandon(o, t, &format!("{} did not catch up in time", t.to), p);
            } else if seen && target.offset >= info.offset && target.replication_id == info.replication_id {
                p.steps.push(Step::Freeze {
                    member: name.clone(),
                    offset: info.offset,
                    reason: format!("it hands over to {}", t.to),
                });
            } else {
                p.steps.push(look());
            }
        }
        Verdict::Alive(info) => {
            // demoted: all that it acknowledged is below the offset at which the two were equal
            let demotion = o.memory.demoted.get(name).filter(|d| d.run_id == info.run_id);
            let needed = demotion.map_or(info.offset, |d| d.offset);
            let same_history = target.descends_from(&info.replication_id) || info.descends_from(&target.replication_id);
            if target.offset >= needed && same_history {
                promote(o, t, p);
            } else if demotion.is_some_and(|d| o.now < d.at + LAST_BYTES) {
                p.steps.push(look());
            } else {
                reelect(o, t, &t.to, "it lacks writes that the former master has", p);
            }
        }
        Verdict::Dead(evidence) => reelect(o, t, name, &evidence, p),
        Verdict::Silent(words) => {
            p.wait(Topic::Suspicion, format!("{name} hands over to {} and is silent: {words}", t.to));
        }
    }
}

/// The target is gone before it was promoted, or just after.
fn target_lost(o: &Observation, t: &Pending, evidence: &str, p: &mut Plan) {
    if t.kind == TransitionKind::Switchover
        && let Some(from) = t.from.as_ref().and_then(|f| o.members.get(f))
        && let Verdict::Alive(info) = verdict(o.now, from)
        && info.is_master()
    {
        return abandon(o, t, &format!("{}: {evidence}", t.to), p);
    }
    reelect(o, t, &t.to, evidence, p);
}

fn abandon(o: &Observation, t: &Pending, note: &str, p: &mut Plan) {
    if let Some(hold) = &o.memory.hold {
        p.steps.push(Step::ReleaseWrites { member: hold.member.clone() });
    }
    p.steps.push(Step::Close {
        outcome: Outcome::Abandoned,
        note: format!("the switchover to {} was given up: {note}", t.to),
    });
}

/// The next epoch: another target, never another one within this.
fn reelect(o: &Observation, t: &Pending, lost: &str, evidence: &str, p: &mut Plan) {
    // a process that is gone can't be chosen; one that restarted can, by what it has now
    let gone = o.members.get(lost).is_none_or(|m| !matches!(verdict(o.now, m), Verdict::Alive(_)));
    let since = o.memory.masterless_since.unwrap_or(o.now);
    match elect(o, gone.then_some(lost), since) {
        Election::Elected(to) => p.steps.push(Step::Begin {
            epoch: t.epoch + 1,
            kind: TransitionKind::Failover,
            from: Some(t.from.clone().unwrap_or_else(|| t.to.clone())),
            to,
            reason: format!("{lost}: {evidence}"),
        }),
        Election::Wait(words) => p.wait(Topic::Election, words),
    }
}
