//! Why a server that can be reached cannot be used as it should, for the status.

use super::advice::Place;
use crate::{
    api::Reason,
    redis::{Problem, Report},
    replication::Failure,
};

/// Of this member; `place` is where the password is.
pub fn of(report: &Report, member: &str, place: &Place) -> Option<Failure> {
    let failure = |reason, message| Some(Failure { reason, message });
    match (&report.problem, &report.outdated) {
        (Some(Problem::Writes(words)), _) => failure(Reason::WritesRefused, format!("it refuses writes: {words}")),
        (_, Some(words)) => failure(Reason::WrongPassword, place.outdated(member, words)),
        (Some(Problem::Password(words)), _) => failure(Reason::WrongPassword, place.refused(member, words)),
        (Some(Problem::Clients(words)), _) => failure(
            Reason::TooManyClients,
            format!(
                "it takes no more connections ({words}), the operator's neither: close some, for example by stopping clients that hold \
                 many; then raise maxclients in spec.config"
            ),
        ),
        (Some(Problem::Login(words)), _) => {
            failure(Reason::MembersMissing, format!("it does not let the operator log in: {words}"))
        }
        (Some(Problem::Answer(words)), _) => {
            failure(Reason::MembersMissing, format!("its answers cannot be used: {words}"))
        }
        (None, None) => None,
    }
}
