//! The conditions: what is the case, why, and in words.

use std::time::Duration;

use super::{
    super::registry::ReconcileReport,
    members::{copying, lag},
    trouble::{self, Place, trouble},
};
use crate::{
    api::{
        ACKNOWLEDGED_EPOCH, ConditionType, DataReplaced, MemberPhase, MemberStatus, Reason, RedisReplicationStatus,
        TransitionKind, TransitionPhase,
    },
    redis::Info,
    replication::{Observation, Plan, Topic, good_replicas, serving_master, stateful_set_replicas},
};

/// For so long a master without replicas is not spoken of: with the default policy it is let go on alone by then.
const LONELY_AFTER: Duration = Duration::from_secs(3);

pub(super) type Judgement = (ConditionType, bool, Reason, String);

/// All of them, in the order of [`ConditionType::ALL`].
pub(super) fn judge(
    o: &Observation,
    p: &Plan,
    report: &ReconcileReport,
    place: &Place,
    status: &RedisReplicationStatus,
) -> Vec<Judgement> {
    let serving = serving_master(o).map(|(name, _)| name.to_owned());
    let lagging: Vec<&MemberStatus> = status
        .members
        .iter()
        .filter(|m| serving.as_ref() != Some(&m.name) && m.phase != Some(MemberPhase::Online) && o.wanted(&m.name))
        .collect();
    let lagging_words = lagging.iter().map(|m| lag(m)).collect::<Vec<_>>().join("; ");
    let progress = progress(o, p, &lagging);
    vec![
        ready(o, p, report, place, status, &lagging, &lagging_words, progress.2),
        available(o, p, report, place, serving.as_deref()),
        match (o.settings.replicas, lagging.is_empty(), &serving) {
            (1, _, _) => (
                ConditionType::Replicating,
                false,
                Reason::SingleMember,
                "replicas is 1: there is nobody to follow the master".into(),
            ),
            (_, true, Some(name)) => {
                (ConditionType::Replicating, true, Reason::ReplicasOnline, format!("all replicas follow {name}"))
            }
            (_, true, None) => {
                (ConditionType::Replicating, false, Reason::NoCandidate, "there is no master to follow".into())
            }
            (_, false, _) if lagging.iter().any(|m| copying(m)) => {
                (ConditionType::Replicating, false, Reason::Syncing, lagging_words.clone())
            }
            (_, false, _) => (ConditionType::Replicating, false, Reason::MembersMissing, lagging_words.clone()),
        },
        (ConditionType::Progressing, progress.0, progress.2, progress.1.clone()),
        match (o.settings.paused, p.waiting_for(Topic::Election), p.waiting_for(Topic::Suspicion)) {
            (true, _, _) => (
                ConditionType::FailoverBlocked,
                true,
                Reason::Paused,
                "spec.paused is set: there is no failover".into(),
            ),
            (_, Some(words), _) if o.record.master.is_some() => {
                (ConditionType::FailoverBlocked, true, Reason::NoCandidate, words.into())
            }
            (_, _, Some(words)) => (ConditionType::FailoverBlocked, true, Reason::MasterUnreachable, words.into()),
            _ if let Some((reason, words)) = blocked(p) => {
                (ConditionType::FailoverBlocked, true, reason, words.to_owned())
            }
            _ => (
                ConditionType::FailoverBlocked,
                false,
                Reason::NotBlocked,
                "nothing is in the way of a failover".into(),
            ),
        },
        match &status.data_replaced {
            Some(replaced) => (ConditionType::DataIntact, false, Reason::DataReplaced, exchanged(replaced, place)),
            None => (
                ConditionType::DataIntact,
                true,
                Reason::DataContinues,
                "the data of each master has continued that of the one before it".into(),
            ),
        },
    ]
}

/// What became of the data, and how to say that it has been noticed.
fn exchanged(replaced: &DataReplaced, place: &Place) -> String {
    format!(
        "{}; acknowledge it with: kubectl -n {} annotate rr {} --overwrite {ACKNOWLEDGED_EPOCH}={}",
        replaced.reason, place.namespace, place.name, replaced.epoch
    )
}

fn available(o: &Observation, p: &Plan, report: &ReconcileReport, place: &Place, serving: Option<&str>) -> Judgement {
    let lonely = serving_master(o).and_then(|(name, info)| lonely(o, name, info));
    let found = |name| (name, o.members.get(name).and_then(|m| trouble(o, place, name, m)));
    let (holds, reason, words) = match serving.map(found) {
        Some((name, Some((Reason::WritesRefused, words)))) => {
            (false, Reason::WritesRefused, format!("{name}: {words}"))
        }
        Some(_) if let Some(words) = lonely => (false, Reason::WritesRefused, words),
        Some((name, _)) => (true, Reason::MasterServes, format!("{name} accepts writes (epoch {})", o.record.epoch)),
        None => {
            let (reason, words) = match (without_master(o, p), &report.problem) {
                // that they are being made would not come true
                ((Reason::Creating, _), Some((reason, words))) => (*reason, words.clone()),
                (without, _) => without,
            };
            (false, reason, words)
        }
    };
    (ConditionType::MasterAvailable, holds, reason, words)
}

/// Why a master refuses writes for want of replicas, in words. After a change of master they take a moment to follow.
fn lonely(o: &Observation, name: &str, info: &Info) -> Option<String> {
    let (there, needed) = (good_replicas(o, info), info.min_replicas);
    let settled = o.memory.without_replicas_since.is_none_or(|since| o.now >= since + LONELY_AFTER);
    (there < needed && settled && o.record.transition.is_none()).then(|| {
        format!("{name} refuses writes (NOREPLICAS): {there} replicas acknowledge in time, and it needs {needed}")
    })
}

#[allow(clippy::too_many_arguments)] // all that is known
fn ready(
    o: &Observation,
    p: &Plan,
    report: &ReconcileReport,
    place: &Place,
    status: &RedisReplicationStatus,
    lagging: &[&MemberStatus],
    lagging_words: &str,
    progress: Reason,
) -> Judgement {
    let no = |reason, words: String| (ConditionType::Ready, false, reason, words);
    let serving = serving_master(o).map(|(name, _)| name);
    if let Some((reason, words)) = &report.problem {
        return no(*reason, words.clone());
    }
    if o.settings.paused {
        let whole = serving.is_some() && lagging.is_empty();
        return (ConditionType::Ready, whole, Reason::Paused, "spec.paused is set: the operator only observes; there is no failover, and a master that loses its replicas may refuse writes"
                .into());
    }
    let failed = o.members.iter().find_map(|(n, m)| trouble(o, place, n, m).map(|(r, w)| (r, format!("{n}: {w}"))));
    let Some(master) = serving else {
        let (reason, words) = without_master(o, p);
        return match (reason, failed) {
            (Reason::Creating | Reason::Electing | Reason::NoCandidate, Some((reason, words))) => no(reason, words),
            _ => no(reason, words),
        };
    };
    if let Some(t) = &o.record.transition {
        let reason = transition_reason(t.kind);
        return no(reason, format!("{} takes over: {}", t.to, t.reason));
    }
    if let Some((reason, words)) = failed {
        return no(reason, words);
    }
    if let Some(words) = p.waiting_for(Topic::Switchover) {
        return no(Reason::SwitchingOver, words.to_owned());
    }
    if let Some(words) = p.waiting_for(Topic::DivergentHistory) {
        return no(Reason::MembersMissing, words.to_owned());
    }
    // between two kills everything may look well for minutes
    let still = matches!(progress, Reason::Stable | Reason::ChangingPersistence | Reason::Scaling);
    if let Some(words) = trouble::short_of_memory(o).filter(|_| still) {
        let words = if lagging.is_empty() { words } else { format!("{words}; {lagging_words}") };
        return (ConditionType::Ready, lagging.is_empty(), Reason::OutOfMemory, words);
    }
    if lagging.is_empty() && matches!(progress, Reason::Stable | Reason::ChangingPersistence) {
        let replicas = o.settings.replicas.saturating_sub(1);
        let words = match replicas {
            0 => format!("{master} is the master, and the only member"),
            1 => format!("{master} is the master, and 1 replica follows it"),
            n => format!("{master} is the master, and {n} replicas follow it"),
        };
        return match &status.data_replaced {
            Some(replaced) => {
                (ConditionType::Ready, true, Reason::DataReplaced, format!("{words}; {}", exchanged(replaced, place)))
            }
            None => (ConditionType::Ready, true, Reason::Healthy, words),
        };
    }
    let reason = match progress {
        Reason::Stable | Reason::ChangingPersistence if lagging.iter().any(|m| copying(m)) => Reason::Syncing,
        Reason::Stable | Reason::ChangingPersistence => Reason::MembersMissing,
        other => other,
    };
    no(
        reason,
        if lagging_words.is_empty() {
            format!("{master} is the master; pods are being changed")
        } else {
            lagging_words.to_owned()
        },
    )
}

fn transition_reason(kind: TransitionKind) -> Reason {
    match kind {
        TransitionKind::Election => Reason::Electing,
        TransitionKind::Failover => Reason::FailingOver,
        TransitionKind::Switchover => Reason::SwitchingOver,
    }
}

/// What keeps a lost master from being replaced until a user repairs it or decides.
fn blocked(p: &Plan) -> Option<(Reason, &str)> {
    let topics = [
        (Topic::Quorum, Reason::QuorumMissing),
        (Topic::NotFenced, Reason::MasterNotFenced),
        (Topic::Isolation, Reason::OperatorIsolated),
    ];
    topics.into_iter().find_map(|(topic, reason)| Some((reason, p.waiting_for(topic)?)))
}

/// Why nobody accepts writes.
fn without_master(o: &Observation, p: &Plan) -> (Reason, String) {
    if let Some(t) = &o.record.transition {
        let words = match (t.phase, &t.from) {
            (TransitionPhase::Ending, Some(from)) => {
                format!("{from} is being ended, then {} is promoted: {}", t.to, t.reason)
            }
            _ => format!("{} is being promoted: {}", t.to, t.reason),
        };
        return (transition_reason(t.kind), words);
    }
    let waits = p.waiting_for(Topic::Election).map(str::to_owned);
    if let Some((reason, words)) = blocked(p) {
        return (reason, words.to_owned());
    }
    if let Some(words) = p.waiting_for(Topic::Suspicion) {
        return masters_own_words(o).unwrap_or_else(|| (Reason::MasterUnreachable, words.to_owned()));
    }
    if let Some(words) = p.waiting_for(Topic::Fence) {
        return (Reason::Fencing, words.to_owned());
    }
    match &o.record.master {
        Some(master) => (Reason::NoCandidate, waits.unwrap_or_else(|| format!("{master} does not accept writes"))),
        None if o.members.values().any(|m| m.server.info.is_some()) => {
            (Reason::Electing, waits.unwrap_or_else(|| "the first master is being chosen".into()))
        }
        None => (Reason::Creating, waits.unwrap_or_else(|| "the pods are being made".into())),
    }
}

/// Why the recorded master cannot be used, if it says so itself: it refuses the password, or any login.
fn masters_own_words(o: &Observation) -> Option<(Reason, String)> {
    let (name, master) = o.members.get_key_value(o.record.master.as_ref()?)?;
    let problem = master.server.problem.as_ref()?;
    Some((problem.reason, format!("{name}: {}", problem.message)))
}

/// Whether pods are being changed, in words, and why.
fn progress(o: &Observation, p: &Plan, lagging: &[&MemberStatus]) -> (bool, String, Reason) {
    let outdated: Vec<_> = o
        .members
        .iter()
        .filter(|(_, m)| m.pod.as_ref().is_some_and(|pod| pod.outdated))
        .map(|(n, _)| n.as_str())
        .collect();
    if !outdated.is_empty() {
        let words = p.waiting_for(Topic::Rollout).map(str::to_owned);
        let words =
            words.unwrap_or_else(|| format!("to be replaced by pods of the present spec: {}", outdated.join(", ")));
        return (true, words, Reason::RollingOut);
    }
    let surplus: Vec<_> =
        o.members.iter().filter(|(n, m)| !o.wanted(n) && m.pod.is_some()).map(|(n, _)| n.as_str()).collect();
    if !surplus.is_empty() && stateful_set_replicas(o) > o.settings.replicas {
        let words = format!(
            "to be removed: {}; they stay until a master serves and enough of the others have its data",
            surplus.join(", ")
        );
        return (true, words, Reason::Scaling);
    }
    if !surplus.is_empty() {
        return (true, format!("being removed: {}", surplus.join(", ")), Reason::Scaling);
    }
    let absent: Vec<_> =
        lagging.iter().filter(|m| o.recorded_run_id(&m.name).is_none()).map(|m| m.name.as_str()).collect();
    if o.record.master.is_some() && !absent.is_empty() {
        return (true, format!("being added: {}", absent.join(", ")), Reason::Scaling);
    }
    if let Some(words) = p.waiting_for(Topic::Persistence) {
        return (true, words.to_owned(), Reason::ChangingPersistence);
    }
    (false, "all pods are of the present spec".into(), Reason::Stable)
}
