//! The terminal: whether there is one, its colours, and confirmations.

use std::io::{IsTerminal, Write, stderr, stdin, stdout};

use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};

use crate::{error::Error, render::Look};

/// How text looks now: colours on a terminal only, and not where `NO_COLOR` asks for none.
pub fn look() -> Look {
    Look { now: Timestamp::now(), colours: is_terminal() && colours_are_welcome(|name| std::env::var(name).ok()) }
}

/// Is the standard output a terminal?
pub fn is_terminal() -> bool {
    stdout().is_terminal()
}

fn colours_are_welcome(variable: impl Fn(&str) -> Option<String>) -> bool {
    variable("NO_COLOR").is_none_or(|value| value.is_empty()) && variable("TERM").as_deref() != Some("dumb")
}

/// Writes to the standard output. A reader that has gone away is no failure.
pub fn print(text: &str) -> Result<(), Error> {
    let mut out = stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::io("standard output")(error)),
        _ => Ok(()),
    }
}

/// Asks the user to type a word before an action that can lose data or writes.
pub fn confirm(warning: &str, word: &str, yes: bool) -> Result<(), Error> {
    let mut err = stderr().lock();
    let told = writeln!(err, "{warning}");
    if yes {
        return told.map_err(Error::io("standard error"));
    }
    if !stdin().is_terminal() {
        return Err(Error::Usage("there is no terminal for the confirmation; use --yes if you are sure".into()));
    }
    let mut line = String::new();
    told.and_then(|()| write!(err, "Type {word} to continue: "))
        .and_then(|()| err.flush())
        .and_then(|()| stdin().read_line(&mut line).map(drop))
        .map_err(Error::io("the terminal"))?;
    if line.trim() == word { Ok(()) } else { Err(Error::Pointless("not confirmed; nothing was done".into())) }
}

/// Ends with Ctrl-C or SIGTERM. From the call on neither ends the process, so that what was begun can be cleaned up.
pub fn interruption() -> Result<impl Future<Output = ()>, Error> {
    let hear = |kind| signal(kind).map_err(Error::io("signals"));
    let (mut interrupt, mut terminate) = (hear(SignalKind::interrupt())?, hear(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn a_request_to_end_is_heard_like_ctrl_c() {
        for name in ["-INT", "-TERM"] {
            let interrupted = interruption().unwrap();
            let own = std::process::id().to_string();
            assert!(std::process::Command::new("kill").args([name, &own]).status().unwrap().success());
            tokio::time::timeout(std::time::Duration::from_secs(10), interrupted).await.unwrap();
        }
    }

    #[test]
    fn colours_can_be_declined() {
        let with = |set: &'static [(&str, &str)]| {
            move |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        assert!(colours_are_welcome(with(&[("TERM", "xterm")])));
        assert!(colours_are_welcome(with(&[("NO_COLOR", "")])), "set but empty means nothing");
        assert!(!colours_are_welcome(with(&[("NO_COLOR", "1")])));
        assert!(!colours_are_welcome(with(&[("TERM", "dumb")])));
    }
}
