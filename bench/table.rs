//! The figures as Markdown tables.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use crate::{
    floor::Floor,
    plan::{Fault, Subject, Variant},
    results::{Round, percentile},
    trace::Trace,
};

/// A length of time that was given in milliseconds.
pub fn length(ms: f64) -> String {
    match ms {
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 1000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.2} s", ms / 1000.0),
    }
}

/// Whether a table says at which hours its rounds were: the speed of a shared machine changes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Hours {
    Shown,
    LeftOut,
}

/// Rounds of one kind.
pub struct Group<'a>(pub Vec<&'a Round>);

impl Group<'_> {
    pub fn outages(&self) -> Vec<f64> {
        self.0.iter().map(|round| round.outage_ms).collect()
    }

    pub fn outage(&self, percent: usize) -> f64 {
        percentile(&self.outages(), percent).unwrap_or_default()
    }

    fn sum(&self, of: impl Fn(&Round) -> u64) -> u64 {
        self.0.iter().map(|round| of(round)).sum()
    }

    fn rounds(&self) -> String {
        match self.0.iter().filter(|round| !round.recovered).count() {
            0 => self.0.len().to_string(),
            helpless => format!("{} ({helpless} not recovered)", self.0.len()),
        }
    }

    /// Rounds, outages, losses, full copies.
    fn cells(&self) -> String {
        let of = |lost, all| if all == 0 { "–".to_owned() } else { format!("{lost} of {all}") };
        let (lost, confirmed_lost) = (self.sum(|r| r.verdict.lost), self.sum(|r| r.verdict.confirmed_lost));
        format!(
            "{} | {} | {} | {} | {} | {} | {} / {} |",
            self.rounds(),
            length(self.outage(50)),
            length(self.outage(99)),
            length(self.outage(100)),
            of(lost, self.sum(|r| r.verdict.acknowledged)),
            of(confirmed_lost, self.sum(|r| r.verdict.confirmed)),
            self.sum(|r| r.full_syncs),
            self.sum(|r| r.restarts),
        )
    }

    /// When the first and the last began, as one more cell.
    fn hours(&self, hours: Hours) -> String {
        let at = |round: Option<&&Round>| round.map(|r| r.at.strftime("%H:%M").to_string()).unwrap_or_default();
        let (first, last) = (self.0.iter().min_by_key(|r| r.at), self.0.iter().max_by_key(|r| r.at));
        hours.cell(&format!("{}–{}", at(first), at(last)))
    }
}

impl Hours {
    fn cell(self, text: &str) -> String {
        if self == Self::Shown { format!(" {text} |") } else { String::new() }
    }
}

const CELLS: &str = "rounds | p50 | p99 | max | writes lost | WAIT-confirmed lost | full syncs / restarts |";
const RULES: &str = "--: | --: | --: | --: | --: | --: | --: |";

/// The rounds of one subject and variant by fault; those that lost the leading operator too stand apart.
pub fn groups(rounds: &[Round], subject: Subject, variant: Variant) -> BTreeMap<(Fault, bool), Group<'_>> {
    let mut groups = BTreeMap::new();
    for round in rounds.iter().filter(|r| r.subject == subject && r.variant == variant) {
        groups.entry((round.fault, round.leader_lost)).or_insert_with(|| Group(Vec::new())).0.push(round);
    }
    groups
}

/// The name of a group.
pub fn title((fault, leader_lost): (Fault, bool)) -> String {
    fault.title().to_owned() + if leader_lost { ", and the leading operator's" } else { "" }
}

/// What the faults cost under this operator, by itself or in a busy cluster.
pub fn faults(rounds: &[Round], subject: Subject, variant: Variant, hours: Hours) -> Option<String> {
    let groups = groups(rounds, subject, variant);
    let mut table = format!("| fault | {CELLS}{}\n| :-- | {RULES}{}\n", hours.cell("UTC"), hours.cell("--:"));
    for (key, group) in &groups {
        writeln!(table, "| {} | {}{}", title(*key), group.cells(), group.hours(hours)).ok()?;
    }
    (!groups.is_empty()).then_some(table)
}

/// The same faults, ours and Sentinel's.
pub fn baseline(rounds: &[Round], variant: Variant, hours: Hours) -> Option<String> {
    let ours = groups(rounds, Subject::Operator, variant);
    let mut table = format!("| fault | who | {CELLS} p50, ours ÷ theirs | p99, ours ÷ theirs |{}\n", hours.cell("UTC"));
    writeln!(table, "| :-- | :-- | {RULES} --: | --: |{}", hours.cell("--:")).ok()?;
    let subjects = || Subject::ALL.into_iter().filter(|subject| !subject.is_ours());
    let theirs: BTreeMap<_, _> = subjects().map(|subject| (subject, groups(rounds, subject, variant))).collect();
    let keys: BTreeSet<_> = theirs.values().flat_map(BTreeMap::keys).copied().collect();
    for key in &keys {
        if let Some(group) = ours.get(key) {
            let (who, hours) = (Subject::Operator.title(), group.hours(hours));
            writeln!(table, "| {} | {who} | {} | |{hours}", title(*key), group.cells()).ok()?;
        }
        for (subject, group) in theirs.iter().filter_map(|(subject, all)| Some((subject, all.get(key)?))) {
            let ratio = |percent| match ours.get(key) {
                Some(ours) if group.outage(percent) > 0.0 => {
                    format!("{:.3}", ours.outage(percent) / group.outage(percent))
                }
                _ => "–".to_owned(),
            };
            let (p50, p99, hours) = (ratio(50), ratio(99), group.hours(hours));
            writeln!(table, "| {} | {} | {} {p50} | {p99} |{hours}", title(*key), subject.title(), group.cells())
                .ok()?;
        }
    }
    (!keys.is_empty()).then_some(table)
}

/// Where the time of a crash goes.
pub fn stages(rounds: &[Round], variant: Variant) -> Option<String> {
    let traces: Vec<_> = rounds.iter().filter(|r| r.variant == variant).filter_map(|r| r.trace).collect();
    let all: Vec<_> = traces.iter().map(Trace::stages).collect();
    parts(&Trace::STAGES, &all, "failovers")
}

/// What of it is not the operator's, with nothing else going on or beside a crash.
pub fn floor(floors: &[Floor], beside_crash: bool) -> Option<String> {
    let floors = floors.iter().filter(|floor| floor.beside_crash == beside_crash);
    let all: Vec<_> = floors.map(Floor::stages).collect();
    parts(&Floor::STAGES, &all, "rounds")
}

/// A line for each of the parts that a time consists of.
fn parts<const N: usize>(names: &[(&str, &str); N], all: &[[f64; N]], unit: &str) -> Option<String> {
    let mut table = "| stage | what happens in it | p50 | p99 | max |\n| :-- | :-- | --: | --: | --: |\n".to_owned();
    let mut row = |name: &str, meaning: &str, values: &[f64]| {
        let of = |percent| percentile(values, percent).map(length).unwrap_or_default();
        writeln!(table, "| {name} | {meaning} | {} | {} | {} |", of(50), of(99), of(100))
    };
    for (index, (name, meaning)) in names.iter().enumerate() {
        let values: Vec<_> = all.iter().map(|stages| stages[index]).collect();
        row(name, meaning, &values).ok()?;
    }
    let sums: Vec<_> = all.iter().map(|stages| stages.iter().sum()).collect();
    row("**together**", &format!("{} {unit}", all.len()), &sums).ok()?;
    (!all.is_empty()).then_some(table)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::results::tests::round;

    fn rounds() -> Vec<Round> {
        let mut rounds: Vec<_> =
            [60.0, 65.5, 108.0].into_iter().map(|ms| round(Subject::Operator, Fault::Crash, ms)).collect();
        rounds.push(Round { leader_lost: true, ..round(Subject::Operator, Fault::NodeCut, 6000.0) });
        rounds.push(Round { recovered: false, ..round(Subject::Operator, Fault::Hang, 60_000.0) });
        rounds.push(round(Subject::Sentinel5s, Fault::Crash, 655.0));
        rounds
    }

    #[test]
    fn lengths_are_short() {
        assert_eq!([3.12, 63.2, 1290.0].map(length), ["3.1 ms", "63 ms", "1.29 s"]);
    }

    #[test]
    fn each_fault_has_its_line() {
        let table = faults(&rounds(), Subject::Operator, Variant::Idle, Hours::LeftOut).unwrap();
        assert_eq!(
            table.lines().skip(2).collect::<Vec<_>>(),
            [
                "| crash | 3 | 66 ms | 108 ms | 108 ms | 6 of 3000 | 0 of 30 | 3 / 3 |",
                "| hung process | 1 (1 not recovered) | 60.00 s | 60.00 s | 60.00 s | 2 of 1000 | 0 of 10 | 1 / 1 |",
                "| node cut off, and the leading operator's | 1 | 6.00 s | 6.00 s | 6.00 s | 2 of 1000 | 0 of 10 | 1 / 1 |",
            ]
        );
        let columns = |line: &str| line.matches('|').count();
        assert!(table.lines().all(|line| columns(line) == columns(table.lines().next().unwrap())), "{table}");
        assert_eq!(faults(&rounds(), Subject::Operator, Variant::Busy, Hours::LeftOut), None);
        let table = faults(&rounds(), Subject::Operator, Variant::Idle, Hours::Shown).unwrap();
        assert!(table.lines().all(|line| columns(line) == columns(table.lines().next().unwrap())), "{table}");
        assert!(table.ends_with("| 1 / 1 | 00:00–00:00 |\n"), "{table}");
    }

    #[test]
    fn sentinel_is_compared_with() {
        let table = baseline(&rounds(), Variant::Idle, Hours::Shown).unwrap();
        assert!(table.ends_with("| 2 of 1000 | 0 of 10 | 1 / 1 | 0.100 | 0.165 | 00:00–00:00 |\n"), "{table}");
        let columns = |line: &str| line.matches('|').count();
        assert!(table.lines().all(|line| columns(line) == columns(table.lines().next().unwrap())), "{table}");
        assert_eq!(baseline(&rounds()[..4], Variant::Idle, Hours::Shown), None, "there is nothing of Sentinel");
    }

    #[test]
    fn the_stages_have_a_line_each() {
        let trace = Trace { detection: 5.0, proxy: 45.0, write: 2.0, ..Trace::default() };
        let crash = Round { trace: Some(trace), ..round(Subject::Operator, Fault::Crash, 52.0) };
        let table = stages(&[crash], Variant::Idle).unwrap();
        assert_eq!(table.lines().count(), 2 + 7 + 1);
        assert!(table.ends_with("| **together** | 1 failovers | 52 ms | 52 ms | 52 ms |\n"), "{table}");
        assert_eq!(stages(&rounds(), Variant::Idle), None);
    }
}
