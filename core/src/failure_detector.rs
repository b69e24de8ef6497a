//! From silence and refusals to a verdict on one member, and on the process that the record knows as master.

use std::{net::IpAddr, time::Duration};

use super::observation::{Contact, Former, Member, Moment, Observation};
use crate::{info::FollowState, info::Info};

/// An open connection on which nothing was answered for so long is silence: no command is sent to such a member, and it
/// counts nowhere. Questions are asked ten times a second.
pub const SILENT_AFTER: Duration = Duration::from_secs(1);

/// A server whose Redis the kubelet has seen answer, and to which this operator never had a connection, counts as unreachable
/// after so long. An attempt takes a second at most.
const UNREACHED_AFTER: Duration = Duration::from_secs(5);

/// A replica that hears its master sees its offset move every second (`repl-ping-replica-period 1`, on a timer of 100 ms), and
/// later while the master is held up, by a fork for example. `master_last_io_seconds_ago` says the same, in whole seconds.
const HEARS_WITHIN: Duration = Duration::from_millis(1300);

/// What the operator believes of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Liveness<'a> {
    /// It answers, and this is what it says.
    Alive(&'a Info),
    /// The process is gone; the evidence in words.
    Dead(String),
    /// Its host acknowledges what is sent, and it has not answered for `unresponsiveAfter`; in words.
    Hung(String),
    /// Its host has acknowledged nothing for `unreachableAfter`; in words.
    Unreachable(String),
    /// Nothing is proven; in words.
    Silent(String),
}

/// Judges one member.
///
/// The end of a connection alone proves nothing (a `CLIENT KILL` looks the same). It takes a container that has ended or a pod
/// that is gone beside it, or a refused connection while no replica hears the member.
pub fn liveness<'a>(o: &Observation, member: &'a Member) -> Liveness<'a> {
    let server = &member.server;
    if let Some(info) = answers(o, member) {
        return Liveness::Alive(info);
    }
    match (server.contact, &member.pod) {
        (Contact::Up, _) => match &server.info {
            _ if elapsed(o, server.silent_since) >= o.settings.unresponsive_after => Liveness::Hung(format!(
                "its host acknowledges what is sent, and Redis has not answered for {}",
                message(o.settings.unresponsive_after)
            )),
            Some(_) => Liveness::Silent("its connection is open and it does not answer".into()),
            None => Liveness::Silent("no answer yet".into()),
        },
        (Contact::HostSilent { since }, _) if o.now.saturating_sub(since) >= o.settings.unreachable_after => {
            Liveness::Unreachable(format!(
                "its host has acknowledged nothing for {}",
                message(o.settings.unreachable_after)
            ))
        }
        (Contact::HostSilent { .. }, _) => Liveness::Silent("its host acknowledges nothing".into()),
        (Contact::Refused { since }, pod) => match pod.as_ref().filter(|pod| pod.running).and_then(|pod| pod.ip) {
            Some(ip) => refused(o, ip, since),
            None => Liveness::Dead("its connection was closed, then refused".into()),
        },
        (Contact::Closed { .. }, None) => Liveness::Dead("its connection was closed and its pod is gone".into()),
        (Contact::Closed { .. }, Some(pod)) if !pod.running => {
            Liveness::Dead("its connection was closed and its container has ended".into())
        }
        (Contact::Closed { .. }, Some(_)) => {
            Liveness::Silent("its connection was closed, and nothing proves yet that the process is gone".into())
        }
        (Contact::None, None) => Liveness::Dead("its pod does not exist".into()),
        (Contact::None, Some(pod)) if !pod.running => Liveness::Dead("its container does not run".into()),
        // an operator that is new has nothing that could have ended; one that refuses a login is there
        (Contact::None, Some(_))
            if elapsed(o, server.unreached_since) >= UNREACHED_AFTER && server.problem.is_none() =>
        {
            Liveness::Unreachable(format!("no connection to it has come about for {}", message(UNREACHED_AFTER)))
        }
        (Contact::None, Some(_)) => Liveness::Silent("no connection to it has come about".into()),
    }
}

fn elapsed(o: &Observation, since: Option<Moment>) -> Duration {
    since.map_or(Duration::ZERO, |since| o.now.saturating_sub(since))
}

/// What a member says of itself, if it answers in time.
fn answers<'a>(o: &Observation, member: &'a Member) -> Option<&'a Info> {
    let server = &member.server;
    let (_, info) = server.info.as_ref()?;
    (server.contact == Contact::Up && elapsed(o, server.silent_since) < SILENT_AFTER).then_some(info)
}

/// Judges a member whose container runs, as far as the kubelet has said, and whose address refuses connections. Firewalls and
/// proxies refuse connections to a process that is well (REJECT, RST). So the replicas that answer decide: in a crash the
/// kernel closes their links too, and they notice within milliseconds. Where none follows it, the kubelet has the say, a
/// second or two later.
fn refused<'a>(o: &Observation, ip: IpAddr, since: Moment) -> Liveness<'a> {
    let address = ip.to_string();
    let follows = |info: &Info| info.replica().is_some_and(|r| r.master_host == address);
    let replicas = o.members.iter().filter_map(|(n, m)| Some((n, m.asked_at(), answers(o, m)?)));
    let mut replicas = replicas.filter(|(.., info)| follows(info)).peekable();
    let unproven = |message: String| {
        let long = o.now >= since + o.settings.unreachable_after;
        if long { Liveness::Unreachable(message) } else { Liveness::Silent(message) }
    };
    if replicas.peek().is_none() {
        return unproven(
            "its connection is refused, and no replica follows it that could say whether it is gone".into(),
        );
    }
    for (name, asked, info) in replicas {
        if asked < since {
            return Liveness::Silent(format!(
                "its connection is refused, and {name} has not said since whether it hears it"
            ));
        }
        if hears(o, name, info) {
            return Liveness::Silent(format!("its connection is refused, and {name} hears it"));
        }
        if is_linked(info) {
            // the end of a process closes the link; what keeps its writes away is the network
            return unproven(format!(
                "its connection is refused, and the link of {name} to it is open, over which nothing comes"
            ));
        }
    }
    Liveness::Dead("its connection was closed, then refused".into())
}

/// What has become of the process that the record knows as master, when it does not answer as such.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessState {
    /// It is gone; the evidence in words.
    Gone(String),
    /// It has hung.
    Hung(String),
    /// It is beyond reach, and may be alive.
    Unreachable(String),
    /// Too early to say.
    Unsure(String),
}

/// Judges the recorded process of `name`. A pod of the same name proves nothing of its predecessor: a pod object can be
/// deleted by force while the process goes on where nobody sees it.
pub fn process_state(o: &Observation, name: &str) -> ProcessState {
    let Some(member) = o.members.get(name) else { return ProcessState::Unreachable("its pod does not exist".into()) };
    let uid = member.pod.as_ref().map(|p| p.uid.as_str());
    let recorded = o.record.members.get(name).and_then(|m| m.uid.as_deref());
    if recorded.is_none() || recorded == uid {
        return match liveness(o, member) {
            Liveness::Alive(_) => ProcessState::Gone("its Redis restarted".into()),
            Liveness::Dead(message) => ProcessState::Gone(message),
            Liveness::Hung(message) => ProcessState::Hung(message),
            Liveness::Unreachable(message) => ProcessState::Unreachable(message),
            Liveness::Silent(message) => ProcessState::Unsure(message),
        };
    }
    match member.former {
        // a connection that was reset proves nothing while a replica has one to the process
        Former::Ended if follower(o, name, |_, info| is_linked(info)).is_some() => {
            ProcessState::Unreachable("its pod is gone, and its connection was closed".into())
        }
        Former::Ended => ProcessState::Gone("its connection was closed and its pod is gone".into()),
        Former::Silent => ProcessState::Unreachable("its pod is gone, and its host was silent before".into()),
        Former::Unknown => ProcessState::Unreachable("its pod is gone, and nobody saw its process end".into()),
    }
}

/// The members that answer, but the process of `lost`. A pod that has taken its name is another member.
pub(super) fn others<'a>(o: &'a Observation, lost: &str) -> impl Iterator<Item = (&'a str, &'a Info)> {
    let alive = o.members.iter().filter_map(|(n, m)| Some((n.as_str(), answers(o, m)?)));
    alive.filter(move |(n, info)| *n != lost || !o.is_recorded_process(n, info))
}

/// A member that hears the process of `lost`. One that follows another member, as all do until the target of a change of master
/// is promoted, says nothing about it.
pub(super) fn heard_by<'a>(o: &'a Observation, lost: &str) -> Option<&'a str> {
    follower(o, lost, |name, info| hears(o, name, info))
}

/// A member that follows the process of `lost`, or one that is nobody's, and of which `is` holds.
fn follower<'a>(o: &'a Observation, lost: &str, is: impl Fn(&str, &Info) -> bool) -> Option<&'a str> {
    let pods = || o.members.iter().filter(|(n, _)| *n != lost).filter_map(|(_, m)| m.pod.as_ref()?.ip);
    let of_another = |info: &Info| info.replica().is_some_and(|r| pods().any(|ip| ip.to_string() == r.master_host));
    others(o, lost).find(|(n, i)| is(n, i) && !of_another(i)).map(|(n, _)| n)
}

/// Is the link to its master open, as far as it knows?
fn is_linked(info: &Info) -> bool {
    info.replica().is_some_and(|r| matches!(r.follow, FollowState::Online | FollowState::Syncing(_)))
}

/// Does this replica hear its master?
pub fn hears(o: &Observation, name: &str, info: &Info) -> bool {
    let offset_stall = o.members.get(name).and_then(|m| m.server.offset_stall);
    is_linked(info) && offset_stall.is_none_or(|s| s.length() < HEARS_WITHIN)
}

pub(super) fn message(d: Duration) -> String {
    if d.subsec_millis() == 0 { format!("{} s", d.as_secs()) } else { format!("{} ms", d.as_millis()) }
}
