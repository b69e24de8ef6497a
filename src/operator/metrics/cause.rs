//! Why the master changes, from a closed list. The words in the status and in events are for people.

use std::fmt;

use crate::{
    api::{RequestKind, TransitionKind},
    replication::{Fate, Member, Observation, fate},
};

/// Values of the label `reason` of transitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// There had never been a master.
    FirstMaster,
    /// No process was left that had been master or could follow one.
    AllRestarted,
    /// The master's process has ended.
    ProcessEnded,
    /// The master's process hung, and was ended.
    Hung,
    /// The master could not be reached, and was fenced.
    Unreachable,
    /// A person decided by the annotation `force-failover`.
    Forced,
    /// The master's pod is being deleted or evicted.
    PodDeleted,
    /// The master's pod is one too many.
    ScaledDown,
    /// The master's pod is to be replaced by one of the present spec.
    RollingUpdate,
    /// A person asked for it by the annotation `switchover-to`.
    Requested,
    /// The preferred master has caught up.
    Preferred,
    /// Another process began it, and took its reason along.
    Unknown,
}

impl Cause {
    /// What each kind of change can be due to, as far as one process sees it from its beginning to its end.
    pub const KNOWN: [(TransitionKind, Self); 11] = [
        (TransitionKind::Election, Self::FirstMaster),
        (TransitionKind::Election, Self::AllRestarted),
        (TransitionKind::Failover, Self::ProcessEnded),
        (TransitionKind::Failover, Self::Hung),
        (TransitionKind::Failover, Self::Unreachable),
        (TransitionKind::Failover, Self::Forced),
        (TransitionKind::Switchover, Self::PodDeleted),
        (TransitionKind::Switchover, Self::ScaledDown),
        (TransitionKind::Switchover, Self::RollingUpdate),
        (TransitionKind::Switchover, Self::Requested),
        (TransitionKind::Switchover, Self::Preferred),
    ];

    /// What makes the master change, by what is known when it begins.
    pub fn of(o: &Observation, kind: TransitionKind) -> Self {
        match kind {
            TransitionKind::Election if o.record.master.is_none() => Self::FirstMaster,
            TransitionKind::Election => Self::AllRestarted,
            TransitionKind::Failover => lost(o),
            TransitionKind::Switchover => hands_over(o),
        }
    }
}

fn lost(o: &Observation) -> Cause {
    if o.settings.request.as_ref().is_some_and(|r| r.kind == RequestKind::Failover) {
        return Cause::Forced;
    }
    let granted = o.record.transition.as_ref().map(|t| &t.to);
    let Some(lost) = granted.or(o.record.master.as_ref()) else { return Cause::Unknown };
    let uid = o.record.members.get(lost).and_then(|m| m.uid.as_ref());
    if uid.is_some_and(|uid| o.memory.killed.contains_key(uid)) {
        return Cause::Hung;
    }
    match fate(o, lost) {
        Fate::Gone(_) => Cause::ProcessEnded,
        Fate::Hung(_) => Cause::Hung,
        Fate::Unreachable(_) => Cause::Unreachable,
        Fate::Unsure(_) => Cause::Unknown,
    }
}

/// In the order in which the planner asks.
fn hands_over(o: &Observation) -> Cause {
    let Some((name, master)) = o.record.master.as_ref().and_then(|name| o.members.get_key_value(name)) else {
        return Cause::Unknown;
    };
    if Member::leaving(master) {
        Cause::PodDeleted
    } else if !o.wanted(name) {
        Cause::ScaledDown
    } else if master.pod.as_ref().is_some_and(|pod| pod.outdated) && o.settings.request.is_none() {
        Cause::RollingUpdate
    } else if o.settings.request.is_some() {
        Cause::Requested
    } else {
        Cause::Preferred
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
