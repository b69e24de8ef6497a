//! The members, one by one.

use std::{collections::BTreeSet, time::Duration};

use super::{
    record::write_member,
    trouble::{Place, trouble},
};
use crate::{
    api::{MemberPhase, MemberRole, MemberStatus},
    redis::{FollowState, Info},
    replication::{Liveness, Member, Observation, link_message, liveness, serving_master},
};

/// Progress is shown in steps of so many percent: each step is a write to the API server.
const PERCENT_STEP: i32 = 5;

/// A master that can be heard is heard every second.
const DEAF_AFTER: Duration = Duration::from_secs(5);

/// A pod that is being deleted is gone after its grace period of two minutes, unless something keeps it.
const GONE_BY: Duration = Duration::from_secs(150);

/// All that are there or should be, and those that are gone and still count.
pub(super) fn describe(o: &Observation, place: &Place, serving: Option<(&str, &Info)>) -> Vec<MemberStatus> {
    let gone = Member::default();
    let names: BTreeSet<&String> = o.members.keys().chain(o.record.members.keys()).collect();
    names.into_iter().map(|name| member(o, place, name, o.members.get(name).unwrap_or(&gone), serving)).collect()
}

fn member(o: &Observation, place: &Place, name: &str, m: &Member, serving: Option<(&str, &Info)>) -> MemberStatus {
    let phase = phase(o, m);
    let info = match liveness(o, m) {
        Liveness::Alive(info) => Some(info),
        _ => None,
    };
    let is_master = serving.is_some_and(|(n, _)| n == name);
    let percent = info.and_then(|i| i.sync_percent(serving.map(|(_, master)| master)));
    MemberStatus {
        role: match info {
            Some(_) if is_master => MemberRole::Master,
            Some(i) if !i.is_master() => MemberRole::Replica,
            _ => MemberRole::Unknown,
        },
        phase: if is_master { None } else { phase },
        sync_percent: percent.map(|p| i32::from(p) / PERCENT_STEP * PERCENT_STEP),
        message: trouble(o, place, name, m)
            .map(|(_, words)| words)
            .or_else(|| delay(o, m))
            .or_else(|| link_message(o, name))
            .or_else(|| m.pod.as_ref().and_then(|pod| pod.short_of_memory.as_ref()).map(|f| f.message.clone()))
            .or_else(|| {
                info.filter(|i| is_stalled(m, i))
                    .map(|_| "it has heard nothing from the master for some seconds".into())
            }),
        ..write_member(name, o.record.members.get(name))
    }
}

/// Its link is up by its own word, and nothing comes over it. Redis notices that after `repl-timeout`, which is minutes.
fn is_stalled(m: &Member, info: &Info) -> bool {
    info.is_online() && m.server.offset_stall.is_some_and(|s| s.length() >= DEAF_AFTER)
}

pub(super) fn phase(o: &Observation, m: &Member) -> Option<MemberPhase> {
    let Liveness::Alive(info) = liveness(o, m) else { return Some(MemberPhase::Lost) };
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
        FollowState::Online if is_stalled(m, info) => MemberPhase::Connecting,
        FollowState::Online => MemberPhase::Online,
    })
}

/// Why a member whose Redis does not run is not there yet, though nothing has failed.
fn delay(o: &Observation, m: &Member) -> Option<String> {
    let pod = m.pod.as_ref();
    if matches!(liveness(o, m), Liveness::Alive(_)) {
        return None;
    }
    match pod {
        None => Some("its pod has not been created yet".into()),
        Some(pod) if pod.leaving && o.now.saturating_sub(pod.leaving_since) > GONE_BY => Some(
            "its pod is being deleted and does not end: its node may be off or cut off; kubectl describe pod shows what keeps it"
                .into(),
        ),
        Some(pod) => pod.stage.as_ref().map(|stage| format!("it {stage}")),
    }
}

pub(super) fn copying(m: &MemberStatus) -> bool {
    matches!(m.phase, Some(MemberPhase::AwaitingSnapshot | MemberPhase::Receiving | MemberPhase::Loading))
}

/// One member that does not follow, in words.
pub(super) fn lag(m: &MemberStatus) -> String {
    let words = match (m.phase, &m.message) {
        (Some(MemberPhase::Connecting | MemberPhase::Lost), Some(message)) => return format!("{}: {message}", m.name),
        (Some(MemberPhase::Connecting), _) => "connects to the master",
        (Some(MemberPhase::Authenticating), _) => "proves who it is to the master",
        (Some(MemberPhase::AwaitingSnapshot), _) => "waits for the master's snapshot",
        (Some(MemberPhase::Receiving), _) => "receives the master's snapshot",
        (Some(MemberPhase::Loading), _) => "loads data",
        (Some(MemberPhase::Lost), _) => "does not answer",
        (Some(MemberPhase::Online) | None, _) => "is not ready",
    };
    match m.sync_percent {
        Some(percent) => format!("{} {words} ({percent} %)", m.name),
        None => format!("{} {words}", m.name),
    }
}
