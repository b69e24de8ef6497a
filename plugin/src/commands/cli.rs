//! `cli`: redis-cli on a member, logged in.

use std::{
    io::{IsTerminal, Read},
    time::Duration,
};

use crossterm::terminal::{disable_raw_mode, enable_raw_mode, size};
use futures::SinkExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{AttachParams, TerminalSize};
use redis_replication_operator::objects::names;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, stdin, stdout},
    signal::unix::{SignalKind, signal},
};

use crate::{
    args::RedisCli,
    cluster::{Cluster, master, member},
    error::Error,
    exec::{self, exit_code, refused, shell},
};

/// Commands may be slow ones.
const PATIENCE: Duration = Duration::from_secs(3600);
/// For logging in.
const LOGIN: Duration = Duration::from_secs(20);
/// What redis-cli asks with.
const PROMPT: &[u8] = b"password: ";
/// redis-cli asks the terminal where the cursor is before it knows the width; the answer is that of 80 columns.
const WHERE_IS_THE_CURSOR: &[u8] = b"\x1b[6n";
const IN_COLUMN_80: &[u8] = b"\x1b[1;80R";
const INTERACTIVE: &str = "exec \"$(command -v valkey-cli || command -v redis-cli)\" --askpass";

/// Runs redis-cli; returns its exit code.
pub async fn run(cluster: &Cluster, args: &RedisCli) -> Result<u8, Error> {
    let resource = cluster.get(&args.name).await?;
    let pod = match &args.pod {
        Some(given) => member(&resource, given).map_err(|error| with_dashes(error, given))?,
        None => master(&resource)?,
    };
    if args.arguments.is_empty() && std::io::stdin().is_terminal() {
        return interactive(cluster, &pod).await;
    }
    let output = if args.arguments.is_empty() {
        let mut commands = String::new();
        std::io::stdin().read_to_string(&mut commands).map_err(Error::io("standard input"))?;
        let end = end_mark(&commands);
        let input = format!("{}\n{end}\n", commands.trim_end_matches('\n'));
        let mut output = shell(cluster, &pod, exec::WITH_COMMANDS, &[&end], &input, PATIENCE).await?;
        // the answer to AUTH
        output.stdout = output.stdout.strip_prefix("OK\n").map(str::to_owned).unwrap_or(output.stdout);
        output
    } else {
        let arguments: Vec<&str> = args.arguments.iter().map(String::as_str).collect();
        shell(cluster, &pod, exec::WITH_ARGUMENTS, &arguments, "", PATIENCE).await?
    };
    crate::terminal::print(&output.stdout)?;
    eprint!("{}", output.stderr);
    Ok(output.code)
}

/// A command in the place of the member lacks the dashes before it.
fn with_dashes(error: Error, given: &str) -> Error {
    match error {
        Error::NoMember { replication, member, hint }
            if names::ordinal(given).is_none() && given.parse::<u32>().is_err() =>
        {
            let hint = format!("{hint}; a Redis command follows two dashes: `kubectl rr cli {replication} -- {given}`");
            Error::NoMember { replication, member, hint }
        }
        other => other,
    }
}

/// A line that is none of the commands.
fn end_mark(commands: &str) -> String {
    let mut mark = "# end".to_owned();
    while commands.lines().any(|line| line == mark) {
        mark.push('.');
    }
    mark
}

/// The terminal as it was, also after an error.
struct Raw;

impl Raw {
    fn enable() -> Result<Self, Error> {
        enable_raw_mode().map_err(Error::io("the terminal"))?;
        Ok(Self)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = disable_raw_mode();
    }
}

/// A prompt. The password is read in the pod, and typed when redis-cli asks for it: it is never an argument.
async fn interactive(cluster: &Cluster, pod: &str) -> Result<u8, Error> {
    let password = shell(cluster, pod, exec::PASSWORD, &[], "", LOGIN).await?.ok(pod)?;
    let parameters = AttachParams::default()
        .container(names::REDIS_CONTAINER)
        .stdin(true)
        .stderr(false) // a terminal has one output
        .tty(true);
    let attached = cluster.api::<Pod>().exec(pod, ["sh", "-c", INTERACTIVE], &parameters).await;
    let mut process = attached.map_err(|e| refused(cluster, pod, &e))?;
    let no_stream = || Error::Exec { pod: pod.to_owned(), words: "the connection to redis-cli broke".into() };
    let mut sizes = process.terminal_size().ok_or_else(no_stream)?;
    let mut input = process.stdin().ok_or_else(no_stream)?;
    let mut output = process.stdout().ok_or_else(no_stream)?;
    let status = process.take_status().ok_or_else(no_stream)?;

    let broken = || Error::io(format!("{pod}: the connection to redis-cli broke"));
    let begin = log_in(&mut input, &mut output, password.strip_suffix('\n').unwrap_or(&password));
    let rest = tokio::time::timeout(LOGIN, begin).await.map_err(|_| no_stream())?.map_err(broken())?;

    let _raw = Raw::enable()?;
    let mut resized = signal(SignalKind::window_change()).map_err(Error::io("signals"))?;
    let (mut keys, mut screen) = (stdin(), stdout());
    let resize = async {
        loop {
            if let Ok((width, height)) = size() {
                let _ = sizes.send(TerminalSize { width, height }).await;
            }
            resized.recv().await;
        }
    };
    let type_ = tokio::io::copy(&mut keys, &mut input);
    let show = async {
        screen.write_all(&rest).await?;
        let mut buffer = [0; 4096];
        loop {
            let count = output.read(&mut buffer).await?;
            if count == 0 {
                return Ok(());
            }
            screen.write_all(&buffer[..count]).await?;
            screen.flush().await?;
        }
    };
    tokio::select! {
        shown = show => shown.map_err(broken())?,
        never = resize => never,
        () = async { let _ = type_.await; std::future::pending().await } => {}
    }
    exit_code(pod, status.await)
}

/// Types the password when it is asked for; returns what redis-cli printed after that line.
async fn log_in(
    input: &mut (impl tokio::io::AsyncWrite + Unpin),
    output: &mut (impl tokio::io::AsyncRead + Unpin),
    password: &str,
) -> std::io::Result<Vec<u8>> {
    let mut login = Login::default();
    let mut buffer = [0; 1024];
    loop {
        let count = output.read(&mut buffer).await?;
        if count == 0 {
            return Ok(login.seen); // what it said instead of asking
        }
        let reply = login.hear(&buffer[..count], password);
        input.write_all(&reply).await?;
        input.flush().await?;
        if let Some(rest) = login.rest.take() {
            return Ok(rest);
        }
    }
}

/// The dialogue up to the end of the line with the password.
#[derive(Default)]
struct Login {
    seen: Vec<u8>,
    typed: bool,
    rest: Option<Vec<u8>>,
}

impl Login {
    /// Takes what redis-cli printed; returns what to type.
    fn hear(&mut self, bytes: &[u8], password: &str) -> Vec<u8> {
        self.seen.extend(bytes);
        let mut reply = Vec::new();
        while !self.typed || !self.seen.contains(&b'\n') {
            if let Some(at) = find(&self.seen, WHERE_IS_THE_CURSOR) {
                self.seen.drain(..at + WHERE_IS_THE_CURSOR.len());
                reply.extend(IN_COLUMN_80);
            } else if !self.typed && find(&self.seen, PROMPT).is_some() {
                self.seen.clear();
                self.typed = true;
                reply.extend(password.as_bytes());
                reply.push(b'\r');
            } else {
                return reply;
            }
        }
        let end = self.seen.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.rest = Some(self.seen.split_off(end));
        reply
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rstest::rstest;
    use serde_json::json;

    use super::*;
    use crate::cluster::tests::answering_queries;

    #[rstest]
    #[case("PING", "; a Redis command follows two dashes: `kubectl rr cli cache -- PING`")]
    #[case("cache-9", "; there is cache-0, cache-1")]
    #[case("9", "; there is cache-0, cache-1")]
    #[tokio::test]
    async fn a_command_without_the_dashes_is_no_member(#[case] given: &str, #[case] end: &str) {
        let resource = json!({ "metadata": { "name": "cache", "namespace": "shop" }, "spec": { "replicas": 2 } });
        let cluster = answering_queries(move |_, _, _| (200, resource.clone()));
        let args = RedisCli { name: "cache".into(), pod: Some(given.into()), arguments: Vec::new() };
        let error = run(&cluster, &args).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("cache has no member {given}; ")) && error.ends_with(end), "{error}");
    }

    #[test]
    fn the_password_is_typed_when_it_is_asked_for() {
        let mut login = Login::default();
        assert_eq!(login.hear(b"\x1b[6n\x1b[999C", "pa\"ss"), IN_COLUMN_80);
        assert_eq!(login.hear(b"\x1b[6", "pa\"ss"), b"");
        assert_eq!(login.hear(b"n\x1b[940D", "pa\"ss"), IN_COLUMN_80);
        assert_eq!(login.hear(b"Please input passw", "pa\"ss"), b"");
        assert_eq!(login.hear(b"ord: ", "pa\"ss"), b"pa\"ss\r");
        assert_eq!(login.hear(b"*****", "pa\"ss"), b"");
        assert_eq!(login.rest, None);
        assert_eq!(login.hear(b"\r\n127.0.0.1:6379> ", "pa\"ss"), b"");
        assert_eq!(login.rest.as_deref(), Some(&b"127.0.0.1:6379> "[..]));
    }

    #[test]
    fn the_end_mark_is_none_of_the_commands() {
        assert_eq!(end_mark("PING"), "# end");
        assert_eq!(end_mark("PING\n# end\n# end."), "# end..");
    }
}
