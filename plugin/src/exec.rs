//! Commands in the members' containers. The password stays in the pod: it is read from the file that the container's
//! start script wrote, and is in no argument list and no environment.

use std::time::Duration;

use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Status};
use kube::api::AttachParams;
use redis_replication_operator::objects::names;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::{
    cluster::Cluster,
    error::{Error, one_line},
};

/// Finds the client program.
macro_rules! find_cli {
    () => {
        "cli=$(command -v valkey-cli || command -v redis-cli) || { echo 'the image has no redis-cli' >&2; exit 127; }\n"
    };
}
/// Prints the password that Redis was started with; the file ends with or without a line feed.
macro_rules! print_password {
    () => {
        "IFS= read -r password </run/redis/password || [ -n \"$password\" ] || exit 1; printf '%s\\n' \"$password\"\n"
    };
}

/// `INFO replication`.
pub const INFO_REPLICATION: &str = concat!(find_cli!(), "exec \"$cli\" </run/redis/ask-role");
/// The password, on the standard output.
pub const PASSWORD: &str = print_password!();
/// redis-cli with arguments, logged in. It takes the password as if it were typed.
pub const WITH_ARGUMENTS: &str = concat!(find_cli!(), "{ ", print_password!(), "} | \"$cli\" --askpass \"$@\"");
/// redis-cli that logs in and then carries out the commands of its input, up to a line that is the first argument.
pub const WITH_COMMANDS: &str = concat!(
    find_cli!(),
    "IFS= read -r auth </run/redis/ask-role || exit 1
{ printf '%s\\n' \"$auth\"; while IFS= read -r line && [ \"$line\" != \"$1\" ]; do printf '%s\\n' \"$line\"; done; } | \"$cli\""
);

/// What a command left behind.
#[derive(Debug)]
pub struct Output {
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// Its exit code.
    pub code: u8,
}

impl Output {
    /// The standard output, if the command succeeded.
    pub fn ok(self, pod: &str) -> Result<String, Error> {
        if self.code == 0 {
            return Ok(self.stdout);
        }
        let words = if self.stderr.trim().is_empty() { self.stdout } else { self.stderr };
        Err(Error::Exec { pod: pod.to_owned(), words: one_line(&words) })
    }
}

/// Runs a shell script in a member's Redis container; its arguments are `$1` and so on.
pub async fn shell(
    cluster: &Cluster,
    pod: &str,
    script: &str,
    arguments: &[&str],
    input: &str,
    within: Duration,
) -> Result<Output, Error> {
    let running = run(cluster, pod, script, arguments, input);
    tokio::time::timeout(within, running).await.unwrap_or_else(|_| {
        Err(Error::Exec { pod: pod.to_owned(), words: format!("no answer within {} s", within.as_secs()) })
    })
}

async fn run(cluster: &Cluster, pod: &str, script: &str, arguments: &[&str], input: &str) -> Result<Output, Error> {
    let command = ["sh", "-c", script, "sh"].into_iter().chain(arguments.iter().copied());
    let parameters = AttachParams::default().container(names::REDIS_CONTAINER).stdin(!input.is_empty());
    let attached = cluster.api::<Pod>().exec(pod, command, &parameters).await;
    let mut process = attached.map_err(|e| refused(cluster, pod, &e))?;
    let status = process.take_status();
    // kept until the command has ended: where the server does not know half-closed streams, closing it ends them all
    let mut stdin = process.stdin();
    let broken = |what| Error::io(format!("{pod}: {what}"));
    let (stdout, stderr, ()) = tokio::try_join!(read(process.stdout()), read(process.stderr()), async {
        match &mut stdin {
            Some(stdin) => stdin.write_all(input.as_bytes()).await,
            None => Ok(()),
        }
    })
    .map_err(broken("the connection to the command broke"))?;
    let status = match status {
        Some(status) => status.await,
        None => None,
    };
    Ok(Output { stdout, stderr, code: exit_code(pod, status)? })
}

/// Why a command could not be started. Only a missing right names the right.
pub fn refused(cluster: &Cluster, pod: &str, error: &kube::Error) -> Error {
    let right = format!("run commands in pods (get and create pods/exec) in namespace {}", cluster.namespace);
    match cluster.error(&right, error) {
        Error::Api { words, .. } => failed(pod, &words),
        other => other,
    }
}

/// What came of a command that was not carried out.
fn failed(pod: &str, words: &str) -> Error {
    let words = if words.contains("container not found") {
        format!("the container {} does not run; `kubectl describe pod {pod}` shows why", names::REDIS_CONTAINER)
    } else {
        one_line(words)
    };
    Error::Exec { pod: pod.to_owned(), words }
}

/// The exit code in the status that ends an exec.
pub fn exit_code(pod: &str, status: Option<Status>) -> Result<u8, Error> {
    let status = status.ok_or_else(|| failed(pod, "the connection to the command broke"))?;
    if status.status.as_deref() == Some("Success") {
        return Ok(0);
    }
    let causes = status.details.and_then(|details| details.causes).unwrap_or_default();
    let code = causes.iter().find(|cause| cause.reason.as_deref() == Some("ExitCode"));
    let code = code.and_then(|cause| cause.message.as_deref()).and_then(|code| code.parse().ok());
    code.ok_or_else(|| failed(pod, status.message.as_deref().unwrap_or("the command could not be run")))
}

async fn read(stream: Option<impl AsyncRead + Unpin>) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        stream.read_to_end(&mut bytes).await?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::process::{Command, Stdio};

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{StatusCause, StatusDetails};

    use serde_json::json;

    use super::*;
    use crate::cluster::tests::answering_queries;

    #[tokio::test]
    async fn only_a_missing_right_is_told_as_one() {
        for (code, message, expected) in [
            (
                500,
                "unable to upgrade connection: container not found (\"redis\")",
                "cache-0: the container redis does not run; `kubectl describe pod cache-0` shows why",
            ),
            (404, "pods \"cache-0\" not found", "cache-0: pods \"cache-0\" not found"),
            (403, "no", "you may not run commands in pods (get and create pods/exec) in namespace shop; ask the"),
        ] {
            let status =
                json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message });
            let cluster = answering_queries(move |_, _, _| (code, status.clone()));
            let error = shell(&cluster, "cache-0", PASSWORD, &[], "", Duration::from_secs(5)).await.unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    }

    /// Runs a script with the file that the container's start script leaves of this Secret.
    fn with_password(script: &str, secret: &str) -> String {
        let file = std::env::temp_dir().join(format!("kubectl-rr-test-{}", std::process::id()));
        std::fs::write(&file, secret).unwrap();
        let script = script.replace("/run/redis/password", file.to_str().unwrap());
        let output = Command::new("sh").args(["-c", &script]).stderr(Stdio::inherit()).output().unwrap();
        std::fs::remove_file(&file).unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn the_password_is_read_as_it_was_written() {
        for password in ["plain", "a\"b\\c", "\\\\\"\"", " spaces and $HOME ", "ends with \\", "ümläut", "-n", "\""] {
            for end in ["", "\n"] {
                let secret = format!("{password}{end}");
                assert_eq!(with_password(PASSWORD, &secret), format!("{password}\n"), "{password}");
            }
        }
    }

    #[test]
    fn the_exit_code_is_in_the_status() {
        let cause = StatusCause { reason: Some("ExitCode".into()), message: Some("7".into()), field: None };
        let details = StatusDetails { causes: Some(vec![cause]), ..StatusDetails::default() };
        let failed = Status { status: Some("Failure".into()), details: Some(details), ..Status::default() };
        assert_eq!(exit_code("cache-0", Some(failed)).unwrap(), 7);
        let fine = Status { status: Some("Success".into()), ..Status::default() };
        assert_eq!(exit_code("cache-0", Some(fine)).unwrap(), 0);
        let odd =
            Status { status: Some("Failure".into()), message: Some("no such\ncontainer".into()), ..Status::default() };
        assert_eq!(exit_code("cache-0", Some(odd)).unwrap_err().to_string(), "cache-0: no such container");
        assert!(exit_code("cache-0", None).is_err());
    }
}
