//! What happened, in the order in which it happened.

use std::{fmt, io::IsTerminal};

use anyhow::Result;
use drill::Gap;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kube::{Api, Client, api::ListParams};
use redis_replication_operator::api::CompletedTransition;

/// Lines with their times.
pub struct Tale {
    began: Timestamp,
    lines: Vec<(Timestamp, String)>,
}

impl Tale {
    pub fn new(began: Timestamp) -> Self {
        Self { began, lines: Vec::new() }
    }

    /// Adds a line.
    pub fn tell(&mut self, at: Timestamp, what: String) {
        self.lines.push((at, what));
    }

    /// What the status says of a change of master.
    pub fn transition(&mut self, t: &CompletedTransition) {
        let from = t.from.as_deref().unwrap_or("nobody");
        let text = format!(
            "status.lastTransition: {:?} from {from} to {}, {:?} after {} ms ({})",
            t.kind, t.to, t.outcome, t.duration_ms, t.reason
        );
        self.tell(t.started_at.0, green(&text));
    }

    /// What the writer saw.
    pub fn gap(&mut self, gap: &Gap) {
        let errors: Vec<_> = gap.errors.iter().map(|(kind, times)| format!("{times} × {kind}")).collect();
        let errors = if errors.is_empty() { "it only waited".to_owned() } else { errors.join(", ") };
        self.tell(gap.from, red(&format!("the writer had to wait {:.1} ms ({errors})", gap.ms)));
    }

    /// What `kubectl get events` says of the resource since the beginning.
    pub async fn events(&mut self, client: &Client, namespace: &str, name: &str) -> Result<()> {
        let about =
            ListParams::default().fields(&format!("involvedObject.kind=RedisReplication,involvedObject.name={name}"));
        for event in Api::<Event>::namespaced(client.clone(), namespace).list(&about).await? {
            let precise = event.event_time.map(|time| time.0);
            let Some(at) = precise.or_else(|| event.last_timestamp.map(|time| time.0)) else { continue };
            if at < self.began {
                continue;
            }
            let (reason, message) = (event.reason.unwrap_or_default(), event.message.unwrap_or_default());
            self.tell(at, format!("event {reason}: {message}"));
        }
        Ok(())
    }
}

impl fmt::Display for Tale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines: Vec<_> = self.lines.iter().collect();
        lines.sort_by_key(|(at, _)| *at);
        for (at, text) in lines {
            let seconds = at.duration_since(self.began).as_secs_f64();
            writeln!(f, "  {seconds:>8.3}  {text}")?;
        }
        Ok(())
    }
}

fn coloured(code: &str, text: &str) -> String {
    let wanted = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if wanted { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

pub fn bold(text: &str) -> String {
    coloured("1", text)
}

pub fn green(text: &str) -> String {
    coloured("32", text)
}

pub fn red(text: &str) -> String {
    coloured("31", text)
}
