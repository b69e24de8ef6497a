//! From silence and refusals to a verdict on one member.

use std::time::Duration;

use super::observation::{Contact, Member, Moment};
use crate::redis::Info;

/// An open connection on which nothing was answered for so long is silence. Questions are asked every half second.
const SILENT_AFTER: Duration = Duration::from_millis(1600);

/// What the operator believes of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// It answers, and this is what it says.
    Alive(&'a Info),
    /// The process is gone; the evidence in words.
    Dead(String),
    /// Nothing is proven; in words.
    Silent(String),
}

/// Judges one member.
///
/// The end of a connection alone proves nothing (a `CLIENT KILL` looks the same): it takes a refused connection, a
/// container that has ended, or a pod that is gone beside it.
pub fn verdict(now: Moment, member: &Member) -> Verdict<'_> {
    let server = &member.server;
    match (server.contact, &member.pod) {
        (Contact::Up, _) => match (&server.info, server.last_answer) {
            (Some((_, info)), Some(at)) if now.saturating_sub(at) < SILENT_AFTER => Verdict::Alive(info),
            (_, Some(_)) => Verdict::Silent("its connection is open and it does not answer".into()),
            (_, None) => Verdict::Silent("no answer yet".into()),
        },
        (Contact::Refused { .. }, _) => Verdict::Dead("its connection was closed, then refused".into()),
        (Contact::Closed { .. }, None) => Verdict::Dead("its connection was closed and its pod is gone".into()),
        (Contact::Closed { .. }, Some(pod)) if !pod.running => {
            Verdict::Dead("its connection was closed and its container has ended".into())
        }
        (Contact::Closed { .. }, Some(_)) => {
            Verdict::Silent("its connection was closed, and nothing proves yet that the process is gone".into())
        }
        (Contact::None, None) => Verdict::Dead("its pod does not exist".into()),
        (Contact::None, Some(pod)) if !pod.running => Verdict::Dead("its container does not run".into()),
        (Contact::None, Some(_)) => Verdict::Silent("no connection to it has come about".into()),
    }
}
