//! From an observation to the status that a person reads. Pure.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use kube::Resource;

use super::registry::ObjectsReport;
use crate::{
    api::{
        ConditionType, MemberPhase, MemberRole, MemberStatus, Reason, RedisReplication, RedisReplicationStatus,
        Transition, TransitionKind, TransitionPhase,
    },
    objects::names,
    redis::{FollowState, Info},
    replication::{Member, Observation, Plan, Recorded, Topic, Verdict, good_replicas, serving_master, verdict},
};

/// Progress is shown in steps of so many percent: each step is a write to the API server.
const PERCENT_STEP: i32 = 5;

/// A master that can be heard is heard every second.
const DEAF_AFTER: Duration = Duration::from_secs(5);

/// For so long a master without replicas is not spoken of: with the default policy it is let go on alone by then.
const LONELY_AFTER: Duration = Duration::from_secs(3);

/// What the status should say.
pub fn describe(
    o: &Observation,
    p: &Plan,
    resource: &RedisReplication,
    report: &ObjectsReport,
    now: Timestamp,
) -> RedisReplicationStatus {
    let old = resource.status.clone().unwrap_or_default();
    let master = o.record.master.clone();
    let serving = serving_master(o);
    let transition = o.record.transition.as_ref().map(|t| Transition {
        epoch: t.epoch,
        kind: t.kind,
        phase: t.phase,
        from: t.from.clone(),
        to: t.to.clone(),
        reason: t.reason.clone(),
        since: match &old.transition {
            Some(before) if before.epoch == t.epoch => before.since.clone(),
            _ => MicroTime(now),
        },
    });
    let (replication_id, previous_replication_id) = match (&transition, serving) {
        (None, Some((_, info))) => (Some(info.replication_id.clone()), info.previous_replication_id.clone()),
        _ => (o.record.replication_id.clone(), o.record.previous_replication_id.clone()),
    };
    let online = |name: &str| o.members.get(name).is_some_and(|m| phase(o, m) == Some(MemberPhase::Online));
    let ready = o.members.keys().filter(|n| serving.is_some_and(|(m, _)| m == *n) || online(n)).count();
    let mut status = RedisReplicationStatus {
        observed_generation: report.generation.or(old.observed_generation),
        master,
        epoch: o.record.epoch,
        replication_id,
        previous_replication_id,
        min_replicas_to_write: count(o.record.fence),
        wait_replicas: count(o.record.wait_replicas),
        transition,
        last_transition: old.last_transition.clone(),
        members: members(o, serving),
        replicas: count(o.members.values().filter(|m| m.pod.is_some()).count()),
        ready_replicas: count(ready),
        selector: names::selector(&o.settings.name),
        conditions: Vec::new(),
    };
    let generation = resource.meta().generation;
    status.conditions = conditions(o, p, report, &status)
        .into_iter()
        .map(|(type_, holds, reason, message)| {
            let (type_, value) = (type_.to_string(), if holds { "True" } else { "False" });
            let before = old.conditions.iter().find(|c| c.type_ == type_ && c.status == value);
            Condition {
                last_transition_time: before.map_or(Time(now), |c| c.last_transition_time.clone()),
                message,
                observed_generation: report.generation.or(generation),
                reason: reason.to_string(),
                status: value.into(),
                type_,
            }
        })
        .collect();
    status
}

/// All that are there or should be, and those that are gone and still count.
fn members(o: &Observation, serving: Option<(&str, &Info)>) -> Vec<MemberStatus> {
    let gone = Member::default();
    let names: BTreeSet<&String> = o.members.keys().chain(o.record.members.keys()).collect();
    names.into_iter().map(|name| member(o, name, o.members.get(name).unwrap_or(&gone), serving)).collect()
}

fn member(o: &Observation, name: &str, m: &Member, serving: Option<(&str, &Info)>) -> MemberStatus {
    let phase = phase(o, m);
    let info = match verdict(o, m) {
        Verdict::Alive(info) => Some(info),
        _ => None,
    };
    let is_master = serving.is_some_and(|(n, _)| n == name);
    let percent = info.and_then(|i| i.sync_percent(serving.map(|(_, master)| master)));
    // a process is recorded when it has all the data: as the recorded master, or once it follows and has caught up
    let recorded = o.record.members.get(name);
    let Recorded { run_id, uid } = match info {
        Some(i) if recorded.is_some() && (is_master || o.memory.caught_up(name, i)) => {
            Recorded { run_id: Some(i.run_id.clone()), uid: m.pod.as_ref().map(|p| p.uid.clone()) }
        }
        _ => recorded.cloned().unwrap_or_default(),
    };
    MemberStatus {
        name: name.to_owned(),
        role: match info {
            Some(_) if is_master => MemberRole::Master,
            Some(i) if !i.is_master() => MemberRole::Replica,
            _ => MemberRole::Unknown,
        },
        phase: if is_master { None } else { phase },
        sync_percent: percent.map(|p| i32::from(p) / PERCENT_STEP * PERCENT_STEP),
        enrolled: recorded.is_some(),
        run_id,
        pod_uid: uid,
        message: trouble(m).map(|(_, words)| words).or_else(|| {
            info.filter(|i| is_deaf(m, i)).map(|_| "it has heard nothing from the master for some seconds".into())
        }),
    }
}

/// Its link is up by its own word, and nothing comes over it. Redis notices that after `repl-timeout`, which is minutes.
fn is_deaf(m: &Member, info: &Info) -> bool {
    info.is_online() && m.server.standstill.is_some_and(|s| s.length() >= DEAF_AFTER)
}

fn phase(o: &Observation, m: &Member) -> Option<MemberPhase> {
    let Verdict::Alive(info) = verdict(o, m) else { return Some(MemberPhase::Lost) };
    if info.loading {
        return Some(MemberPhase::Loading);
    }
    let awaits_snapshot = || {
        let seen = serving_master(o).and_then(|(_, i)| i.master());
        let ip = m.ip().map(|ip| ip.to_string());
        seen.is_some_and(|s| s.slaves.iter().any(|s| Some(&s.ip) == ip.as_ref() && s.state == "wait_bgsave"))
    };
    info.replica().map(|r| match r.follow {
        FollowState::Connecting => MemberPhase::Connecting,
        FollowState::Handshake => MemberPhase::Authenticating,
        FollowState::Syncing(_) if awaits_snapshot() => MemberPhase::AwaitingSnapshot,
        FollowState::Syncing(_) => MemberPhase::Receiving,
        FollowState::Online if is_deaf(m, info) => MemberPhase::Connecting,
        FollowState::Online => MemberPhase::Online,
    })
}

fn trouble(m: &Member) -> Option<(Reason, String)> {
    let pod = m.pod.as_ref().and_then(|p| p.failure.clone());
    pod.or_else(|| m.server.problem.clone()).map(|f| (f.reason, f.message))
}

type Judgement = (ConditionType, bool, Reason, String);

fn conditions(o: &Observation, p: &Plan, report: &ObjectsReport, status: &RedisReplicationStatus) -> Vec<Judgement> {
    let serving = serving_master(o).map(|(name, _)| name.to_owned());
    let lagging: Vec<&MemberStatus> = status
        .members
        .iter()
        .filter(|m| serving.as_ref() != Some(&m.name) && m.phase != Some(MemberPhase::Online) && o.wanted(&m.name))
        .collect();
    let lagging_words = lagging.iter().map(|m| lag(m)).collect::<Vec<_>>().join("; ");
    let progress = progress(o, p, &lagging);
    vec![
        ready(o, p, report, serving.as_deref(), &lagging, &lagging_words, progress.2),
        available(o, p, serving.as_deref()),
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
    ]
}

fn available(o: &Observation, p: &Plan, serving: Option<&str>) -> Judgement {
    let lonely = serving_master(o).and_then(|(name, info)| lonely(o, name, info));
    let (holds, reason, words) = match serving.map(|name| (name, o.members.get(name).and_then(trouble))) {
        Some((name, Some((Reason::WritesRefused, words)))) => {
            (false, Reason::WritesRefused, format!("{name}: {words}"))
        }
        Some(_) if let Some(words) = lonely => (false, Reason::WritesRefused, words),
        Some((name, _)) => (true, Reason::MasterServes, format!("{name} accepts writes (epoch {})", o.record.epoch)),
        None => {
            let (reason, words) = without_master(o, p);
            (false, reason, words)
        }
    };
    (ConditionType::MasterAvailable, holds, reason, words)
}

/// Why a master refuses writes for want of replicas, in words. After a change of master they take a moment to follow.
fn lonely(o: &Observation, name: &str, info: &Info) -> Option<String> {
    let (there, needed) = (good_replicas(info), info.min_replicas);
    let settled = o.memory.lonely_since.is_none_or(|since| o.now >= since + LONELY_AFTER);
    (there < needed && settled && o.record.transition.is_none()).then(|| {
        format!("{name} refuses writes (NOREPLICAS): {there} replicas acknowledge in time, and it needs {needed}")
    })
}

fn ready(
    o: &Observation,
    p: &Plan,
    report: &ObjectsReport,
    serving: Option<&str>,
    lagging: &[&MemberStatus],
    lagging_words: &str,
    progress: Reason,
) -> Judgement {
    let no = |reason, words: String| (ConditionType::Ready, false, reason, words);
    if let Some((reason, words)) = &report.problem {
        return no(*reason, words.clone());
    }
    if o.settings.paused {
        let whole = serving.is_some() && lagging.is_empty();
        return (ConditionType::Ready, whole, Reason::Paused, "spec.paused is set: the operator only observes".into());
    }
    let failed = o.members.iter().find_map(|(name, m)| trouble(m).map(|(r, w)| (r, format!("{name}: {w}"))));
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
    if let Some(words) = p.waiting_for(Topic::Kinship) {
        return no(Reason::MembersMissing, words.to_owned());
    }
    if lagging.is_empty() && progress == Reason::Stable {
        let replicas = o.settings.replicas.saturating_sub(1);
        let words = match replicas {
            0 => format!("{master} is the master, and the only member"),
            1 => format!("{master} is the master, and 1 replica follows it"),
            n => format!("{master} is the master, and {n} replicas follow it"),
        };
        return (ConditionType::Ready, true, Reason::Healthy, words);
    }
    let reason = match progress {
        Reason::Stable if lagging.iter().any(|m| copying(m)) => Reason::Syncing,
        Reason::Stable => Reason::MembersMissing,
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

/// What keeps a lost master from being replaced until a person mends it or decides.
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
        return (Reason::MasterUnreachable, words.to_owned());
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
    if !surplus.is_empty() {
        return (true, format!("being removed: {}", surplus.join(", ")), Reason::Scaling);
    }
    let absent: Vec<_> =
        lagging.iter().filter(|m| o.recorded_run_id(&m.name).is_none()).map(|m| m.name.as_str()).collect();
    if o.record.master.is_some() && !absent.is_empty() {
        return (true, format!("being added: {}", absent.join(", ")), Reason::Scaling);
    }
    (false, "all pods are of the present spec".into(), Reason::Stable)
}

fn copying(m: &MemberStatus) -> bool {
    matches!(m.phase, Some(MemberPhase::AwaitingSnapshot | MemberPhase::Receiving | MemberPhase::Loading))
}

/// One member that does not follow, in words.
fn lag(m: &MemberStatus) -> String {
    if let (Some(MemberPhase::Connecting), Some(message)) = (m.phase, &m.message) {
        return format!("{}: {message}", m.name);
    }
    let words = match m.phase {
        Some(MemberPhase::Connecting) => "connects to the master",
        Some(MemberPhase::Authenticating) => "proves who it is to the master",
        Some(MemberPhase::AwaitingSnapshot) => "waits for the master's snapshot",
        Some(MemberPhase::Receiving) => "receives the master's snapshot",
        Some(MemberPhase::Loading) => "loads data",
        Some(MemberPhase::Lost) => "does not answer",
        Some(MemberPhase::Online) | None => "is not ready",
    };
    match m.sync_percent {
        Some(percent) => format!("{} {words} ({percent} %)", m.name),
        None => format!("{} {words}", m.name),
    }
}

fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
