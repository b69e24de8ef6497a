//! From data to text for people. Pure: the time and whether there are colours come from outside.

use std::fmt::Write as _;

use comfy_table::{Cell, Color, ContentArrangement, Table, presets};
use crossterm::style::{Color as Ink, Stylize};
use jiff::Timestamp;
use redis_replication_operator::api::{CompletedTransition, MemberPhase, MemberRole, Outcome};

use crate::view::{Member, View, Waiting};

/// How text looks.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// What the time is.
    pub now: Timestamp,
    /// With colours.
    pub colours: bool,
}

impl Look {
    /// The text in a colour, if there are any.
    pub fn paint(self, text: &str, ink: Ink) -> String {
        if self.colours { text.with(ink).to_string() } else { text.to_owned() }
    }

    fn ago(self, then: Timestamp) -> String {
        age(self.now.duration_since(then).as_secs())
    }
}

/// All that there is to say of one resource.
pub fn details(view: &View, look: Look) -> String {
    let mut text = String::new();
    let ink = if view.healthy { Ink::Green } else { Ink::Red };
    let head = format!("{} in {}: {}", view.name, view.namespace, look.paint(&view.reason, ink));
    let _ = writeln!(text, "{}", with_message(&head, &view.message));
    text.push('\n');
    let master = view.master.as_deref().unwrap_or("none");
    let _ = writeln!(text, "Master    {master}, epoch {}", view.epoch);
    let _ = writeln!(text, "Members   {} of {} serve", view.ready_replicas, view.replicas);
    let _ = writeln!(text, "Policy    {}", policy(view));
    if view.paused {
        let _ = writeln!(text, "Paused    {}", look.paint("the operator only observes: no failover", Ink::Yellow));
    }
    if let Some(t) = &view.transition {
        let from = t.from.as_ref().map(|from| format!(" from {from}")).unwrap_or_default();
        let words = format!("{:?}{from} to {}, for {}: {}", t.kind, t.to, look.ago(t.since.0), t.reason);
        let _ = writeln!(text, "Changing  {}", look.paint(&words, Ink::Yellow));
    }
    if let Some(last) = &view.last_transition {
        let _ = writeln!(text, "Last      {}, {} ago", transition(last), look.ago(last.started_at.0));
    }
    let _ = writeln!(text, "\n{}", members(&view.members, look));
    let mut waiting = view.waiting_for.iter().peekable();
    if waiting.peek().is_some() {
        text.push_str("\nWaiting for\n");
    }
    for one in waiting {
        let _ = writeln!(text, "  {}", waits(one, look));
    }
    for note in &view.notes {
        let _ = writeln!(text, "\n{}", look.paint(note, Ink::DarkGrey));
    }
    text
}

/// Resources, one a line.
pub fn list(views: &[View], namespaces: bool, look: Look) -> String {
    let mut header = vec!["NAME", "MASTER", "READY", "STATUS", "EPOCH", "LAST CHANGE", "AGE", "MESSAGE"];
    if namespaces {
        header.insert(0, "NAMESPACE");
    }
    let mut table = table(&header, look);
    for view in views {
        let last = view.last_transition.as_ref();
        let last = last.map(|last| format!("{} ago ({} ms)", look.ago(last.started_at.0), last.duration_ms));
        let status = Cell::new(&view.reason).fg(if view.healthy { Color::Green } else { Color::Red });
        let mut row = vec![
            Cell::new(&view.name),
            Cell::new(view.master.as_deref().unwrap_or("-")),
            Cell::new(format!("{}/{}", view.ready_replicas, view.replicas)),
            status,
            Cell::new(view.epoch),
            Cell::new(last.as_deref().unwrap_or("-")),
            Cell::new(view.created.as_ref().map_or_else(String::new, |time| look.ago(time.0))),
            Cell::new(&view.message),
        ];
        if namespaces {
            row.insert(0, Cell::new(&view.namespace));
        }
        table.add_row(row);
    }
    table.trim_fmt()
}

fn policy(view: &View) -> String {
    let mut text = format!("{:?}", view.policy);
    if view.wait_replicas > 0 {
        let _ = write!(text, ", writes confirmed by WAIT {}", view.wait_replicas);
    }
    if let Some(preferred) = &view.preferred_master {
        let _ = write!(text, ", {preferred} preferred as master");
    }
    text
}

/// A change of master that has ended, in words.
pub fn transition(last: &CompletedTransition) -> String {
    let from = last.from.as_ref().map(|from| format!(" from {from}")).unwrap_or_default();
    let end = match last.outcome {
        Outcome::Completed => format!("completed in {} ms", last.duration_ms),
        Outcome::Abandoned => format!("abandoned after {} ms", last.duration_ms),
    };
    format!("{:?}{from} to {}, {end} ({})", last.kind, last.to, last.reason)
}

fn members(members: &[Member], look: Look) -> String {
    let mut table = table(&["POD", "NODE", "ROLE", "PHASE", "LAG", "HEARD", "SYNC", "MESSAGE"], look);
    for member in members {
        let (role, ink) = match member.role {
            MemberRole::Master => ("master", Color::Cyan),
            MemberRole::Replica => ("replica", Color::Reset),
            MemberRole::Unknown => ("unknown", Color::Red),
        };
        let phase = member.phase.map(|phase| format!("{phase:?}"));
        let well = member.role == MemberRole::Master || member.phase == Some(MemberPhase::Online);
        let sync = match member.role {
            MemberRole::Master => "-".to_owned(),
            _ => member.sync_percent.map_or_else(|| "-".into(), |percent| bar(percent, 10)),
        };
        table.add_row([
            Cell::new(&member.name),
            Cell::new(member.node.as_deref().unwrap_or("-")),
            colour(Cell::new(role), ink),
            colour(Cell::new(phase.as_deref().unwrap_or("-")), if well { Color::Reset } else { Color::Yellow }),
            Cell::new(member.lag_bytes.map_or_else(|| "-".into(), bytes)),
            Cell::new(member.lag_seconds.map_or_else(|| "-".into(), |seconds| format!("{} ago", duration(seconds)))),
            Cell::new(sync),
            Cell::new(member.message.as_deref().unwrap_or("")),
        ]);
    }
    table.trim_fmt()
}

/// `Reset` would still write control sequences.
fn colour(cell: Cell, ink: Color) -> Cell {
    if ink == Color::Reset { cell } else { cell.fg(ink) }
}

fn waits(one: &Waiting, look: Look) -> String {
    let conditions =
        if one.conditions.is_empty() { String::new() } else { format!(" ({})", one.conditions.join(", ")) };
    let since = one.since.as_ref().map(|since| format!(", since {}", look.ago(since.0))).unwrap_or_default();
    with_message(&format!("{}{conditions}{since}", look.paint(&one.reason, Ink::Yellow)), &one.message)
}

fn with_message(head: &str, message: &str) -> String {
    if message.is_empty() { head.to_owned() } else { format!("{head}: {message}") }
}

/// Columns apart by spaces, as kubectl prints them.
pub(crate) fn table(header: &[&str], look: Look) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if look.colours {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table.set_header(header.iter().copied());
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    table
}

/// A bar of so many cells, and the figure.
pub fn bar(percent: f64, cells: u32) -> String {
    let percent = percent.clamp(0.0, 100.0);
    // full only when it is done
    let full = (1..=cells).filter(|cell| percent * f64::from(cells) >= f64::from(*cell) * 100.0).count();
    let empty = cells as usize - full;
    format!("{}{} {:.0} %", "█".repeat(full), "░".repeat(empty), percent.floor())
}

/// Bytes in a unit that can be read: `512 B`, `1.5 MiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    #[allow(clippy::cast_precision_loss)] // one decimal is shown
    let mut value = count as f64 / 1024.0;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

/// A length of time as kubectl prints it: `42s`, `3m12s`, `5h`, `12d`. Negative ones are none.
pub fn age(seconds: i64) -> String {
    duration(u64::try_from(seconds).unwrap_or(0))
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 if !seconds.is_multiple_of(60) => format!("{}m{}s", seconds / 60, seconds % 60),
        120..10_800 => format!("{}m", seconds / 60),
        10_800..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
