//! Every failure in one line that says what to do, and the exit codes.

use std::fmt::Write as _;

use redis_replication_operator::kubernetes::undecodable::Fault;

/// The exit codes of the process.
pub mod exit {
    /// Done; of `status`: healthy.
    pub const OK: u8 = 0;
    /// Failed; the line on the standard error has the reason.
    pub const FAILED: u8 = 1;
    /// The command line is invalid.
    pub const USAGE: u8 = 2;
    /// `status`: something is not healthy. `rehearse`: acknowledged writes were lost.
    pub const NOT_HEALTHY: u8 = 3;
    /// The operator refused or abandoned the request; nothing has changed.
    pub const REFUSED: u8 = 4;
    /// The request was not completed in time; it stays.
    pub const NOT_IN_TIME: u8 = 5;
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No configuration of a cluster.
    #[error("no cluster is configured: {0}; set KUBECONFIG, or give --kubeconfig and --context")]
    NoKubeconfig(String),
    /// The API server does not answer.
    #[error("no answer from the API server {server}: {cause}; is the cluster up, and is the context the right one?")]
    NoAnswer {
        /// Its URL.
        server: String,
        /// What came of the attempt.
        cause: String,
    },
    /// The credentials are not accepted.
    #[error("the API server does not accept your credentials; log in again, or choose another --context")]
    Unauthorized,
    /// A right is missing.
    #[error("you may not {0}; ask the cluster's administrator for this right")]
    Forbidden(String),
    /// The cluster has no such resource at all.
    #[error(
        "this cluster has no resource type RedisReplication: install redis-replication-operator first, or choose another --context"
    )]
    NotInstalled,
    /// There is none of this name.
    #[error("there is no RedisReplication {name} in namespace {namespace}{hint}")]
    NotFound {
        /// The name that was given.
        name: String,
        /// Where it was looked for.
        namespace: String,
        /// What it may have been meant to be.
        hint: String,
    },
    /// There is one, and it is not understood.
    #[error(
        "RedisReplication {name} in namespace {namespace} cannot be decoded: {fault}; correct that field, or use the plugin and the operator of the version that wrote it"
    )]
    Undecodable {
        /// The name that was given.
        name: String,
        /// Where it is.
        namespace: String,
        /// The first field at fault.
        fault: Fault,
    },
    /// There is no such member.
    #[error("{replication} has no member {member}{hint}")]
    NoMember {
        /// The resource.
        replication: String,
        /// The name that was given.
        member: String,
        /// What it may have been meant to be.
        hint: String,
    },
    /// It makes no sense as things are.
    #[error("{0}")]
    Pointless(String),
    /// The command line is invalid.
    #[error("{0}")]
    Usage(String),
    /// The operator refused or abandoned it.
    #[error("{0}")]
    Refused(String),
    /// It has not happened in time.
    #[error("{0}")]
    NotInTime(String),
    /// The API server refused it for another reason.
    #[error("the API server refused to {action}: {words}")]
    Api {
        /// What was asked for.
        action: String,
        /// Its words.
        words: String,
    },
    /// A command in a container went wrong.
    #[error("{pod}: {words}")]
    Exec {
        /// Where.
        pod: String,
        /// What came of it.
        words: String,
    },
    /// A file or the terminal does not work.
    #[error("{what}: {source}")]
    Io {
        /// Which.
        what: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Something could not be written as JSON or YAML, or read from it.
    #[error("{0}")]
    Format(String),
}

impl Error {
    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => exit::USAGE,
            Self::Refused(_) => exit::REFUSED,
            Self::NotInTime(_) => exit::NOT_IN_TIME,
            _ => exit::FAILED,
        }
    }

    /// What the API server, or the way to it, said to an attempt to `action`.
    pub fn api(server: &str, action: &str, error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 401 => Self::Unauthorized,
            kube::Error::Api(status) if status.code == 403 => Self::Forbidden(action.to_owned()),
            kube::Error::Api(status) => Self::Api { action: action.to_owned(), words: one_line(&status.message) },
            kube::Error::Auth(error) => Self::NoKubeconfig(one_line(&chain(error))),
            kube::Error::UpgradeConnection(error) => {
                // a web socket's refusal carries no more than its status code
                let words = chain(error);
                match () {
                    () if words.contains("403") => Self::Forbidden(action.to_owned()),
                    () if words.contains("401") => Self::Unauthorized,
                    () => Self::Api { action: action.to_owned(), words: one_line(&words) },
                }
            }
            other => Self::NoAnswer { server: server.to_owned(), cause: one_line(&chain(other)) },
        }
    }

    /// A file or the terminal.
    pub fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// The API server knows no such thing.
pub fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// The right to it is missing.
pub fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

/// The innermost cause of an error, which a user can act on.
fn chain(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let (outer, inner) = (error.to_string(), innermost.to_string());
    if inner.is_empty() { outer } else { inner }
}

/// One line, whole.
pub fn unwrapped(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// One line, of a readable length.
pub fn one_line(text: &str) -> String {
    let mut line = unwrapped(text);
    if line.chars().count() > 400 {
        line = line.chars().take(399).collect();
        line.push('…');
    }
    line
}

/// "; did you mean …?" or what there is, as the end of an error's line.
pub fn hint(given: &str, there_is: &[String]) -> String {
    let mut close: Vec<(usize, &String)> =
        there_is.iter().map(|name| (strsim::damerau_levenshtein(given, name), name)).collect();
    close.sort();
    match close.first() {
        None => "; there is none at all".into(),
        Some((distance, name)) if *distance <= 2.max(given.len() / 3) => format!("; did you mean {name}?"),
        Some(_) => listed(there_is),
    }
}

/// What there is, as the end of an error's line.
pub fn listed(there_is: &[String]) -> String {
    let mut text = "; there is".to_owned();
    for (index, name) in there_is.iter().take(8).enumerate() {
        let _ = write!(text, "{} {name}", if index == 0 { "" } else { "," });
    }
    if there_is.len() > 8 {
        let _ = write!(text, " and {} more", there_is.len() - 8);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("cahce", &["cache", "sessions"], "; did you mean cache?")]
    #[case("cache-3", &["cache-0", "cache-1"], "; did you mean cache-0?")]
    #[case("queue", &["cache", "sessions"], "; there is cache, sessions")]
    #[case("queue", &[], "; there is none at all")]
    fn what_may_have_been_meant(#[case] given: &str, #[case] there_is: &[&str], #[case] expected: &str) {
        let there_is: Vec<String> = there_is.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(hint(given, &there_is), expected);
    }

    #[test]
    fn many_names_are_not_all_listed() {
        let names: Vec<String> = (0..10).map(|n| format!("replication-{n}")).collect();
        assert!(hint("x", &names).ends_with("replication-7 and 2 more"));
    }

    #[test]
    fn an_error_is_one_line() {
        assert_eq!(one_line("a\n  b\tc\n"), "a b c");
        assert_eq!(one_line(&"word ".repeat(200)).chars().count(), 400);
    }
}
