//! Why a server that can be reached cannot be used as it should, for the status.

use super::advice::Place;
use crate::{
    api::Reason,
    password::Password,
    redis::{Problem, Report},
    replication::Failure,
};

/// Of this member; `place` is where the password is, `present` that password, and `at_master` whether the master accepts it.
pub fn of(
    report: &Report,
    member: &str,
    place: &Place,
    present: Option<&Password>,
    at_master: bool,
) -> Option<Failure> {
    let failure = |reason, message| Some(Failure { reason, message });
    match (&report.problem, &report.outdated) {
        (Some(Problem::Writes(words)), _) => failure(Reason::WritesRefused, format!("it refuses writes: {words}")),
        (_, Some(words)) if report.accepted.is_some() && report.accepted.as_ref() == present => {
            failure(Reason::WrongPassword, place.changed_by_hand(member, words))
        }
        (_, Some(words)) => failure(Reason::WrongPassword, place.outdated(member, words, at_master)),
        (Some(Problem::Password(words)), _) => failure(Reason::WrongPassword, place.refused(member, words, at_master)),
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rstest::rstest;

    use super::*;

    const BACK: &str = "back with: kubectl -n shop patch secret c-auth -p \"{\\\"data\\\":{\\\"password\\\":\\\"\
        $(kubectl -n shop exec c-1 -c redis -- cat /run/redis/password | base64 | tr -d '\\n')\\\"}}\"";
    const RESTART: &str = "starts with it: kubectl -n shop delete pod c-1";
    const BY_HAND: &str = "back with: kubectl -n shop exec c-1 -c redis -- sh -c 'export REDISCLI_AUTH=\"$(cat /run/redis/password)\"; \
        $(command -v redis-cli || command -v valkey-cli) --user redis-replication-operator ACL SETUSER default on resetpass \
        \">$REDISCLI_AUTH\"'";
    const AGAIN: &str = "makes it again: kubectl -n shop delete secret c-auth";

    #[rstest]
    #[case::of_all(None, true, false, BACK)]
    #[case::of_one(None, true, true, RESTART)]
    #[case::edited(Some("former"), false, false, AGAIN)]
    #[case::given(Some("former"), true, false, BACK)]
    #[case::put_back(Some("another"), false, true, RESTART)]
    #[case::by_hand(Some("present"), false, false, BY_HAND)]
    #[case::by_hand_at_a_replica(Some("present"), true, true, BY_HAND)]
    fn a_refused_password_comes_with_what_helps(
        #[case] accepted: Option<&str>,
        #[case] given: bool,
        #[case] at_master: bool,
        #[case] advice: &str,
    ) {
        let (resource, namespace) = ("c".into(), "shop".into());
        let place = Place { resource, namespace, secret: "c-auth".into(), key: "password".into(), given };
        let mut report = Report::default();
        match accepted {
            Some(text) => {
                report.accepted = Some(Password::read(text.as_bytes()).unwrap());
                report.outdated = Some("WRONGPASS".into());
            }
            None => report.problem = Some(Problem::Password("WRONGPASS".into())),
        }
        let present = Password::read(b"present").unwrap();
        let failure = of(&report, "c-1", &place, Some(&present), at_master).unwrap();
        assert_eq!(failure.reason, Reason::WrongPassword);
        assert!(failure.message.contains("WRONGPASS") && failure.message.ends_with(advice), "{}", failure.message);
    }
}
