//! The results: a line of JSON for each round, appended as soon as it is known, so that an interrupted run loses nothing.

use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Seek, SeekFrom, Write},
    path::Path,
};

use anyhow::{Context, Result, bail};
use drill::{Gap, Verdict};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    floor::Floor,
    plan::{Fault, Subject, Variant},
    setting::Setting,
    trace::Trace,
};

/// One line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
pub enum Line {
    /// The first: where all this was measured.
    Setting(Setting),
    Round(Round),
    Floor(Floor),
}

/// One fault, and what it cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Round {
    pub subject: Subject,
    pub fault: Fault,
    pub variant: Variant,
    /// When the fault was begun.
    pub at: Timestamp,
    /// Milliseconds in which a write was due and none was acknowledged.
    pub outage_ms: f64,
    /// Whether there was a new master in time. If not, the damage was undone by hand, and the outage ended with that.
    pub recovered: bool,
    /// The leading operator was on the node that was lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leader_lost: bool,
    /// Full copies of the data that members made.
    pub full_syncs: u64,
    /// Redis processes that were started anew. With memory only each of them needs one full copy.
    pub restarts: u64,
    pub verdict: Verdict,
    /// The outages of which that is the sum.
    pub gaps: Vec<Gap>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
}

/// What a file holds.
#[derive(Debug, Default)]
pub struct Results {
    pub setting: Option<Setting>,
    pub rounds: Vec<Round>,
    pub floors: Vec<Floor>,
}

impl Results {
    /// Reads a file; one that is not there is empty.
    pub fn read(path: &Path) -> Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).with_context(|| path.display().to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| path.display().to_string()),
        }
    }

    /// Reads the lines of a file.
    pub fn parse(text: &str) -> Result<Self> {
        let mut results = Self::default();
        // A line without an end was being written when the run was interrupted.
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        for (number, line) in whole.lines().enumerate() {
            match serde_json::from_str(line).with_context(|| format!("line {}", number + 1))? {
                Line::Setting(setting) => results.setting = Some(setting),
                Line::Round(round) => results.rounds.push(round),
                Line::Floor(floor) => results.floors.push(floor),
            }
        }
        Ok(results)
    }
}

/// A file that is being written.
pub struct Log(File);

impl Log {
    /// Opens a file to go on with it. What was measured elsewhere, or of another build, doesn't belong into the same file.
    pub fn resume(path: &Path, setting: &Setting) -> Result<(Self, Results)> {
        let results = Results::read(path)?;
        if let Some(former) = &results.setting
            && !former.is_that_of(setting)
        {
            bail!(
                "{} was measured in another setting: {former:?}, and now it is {setting:?}; \
                 move it away, or name another file with RESULTS=",
                path.display()
            );
        }
        let open = || -> std::io::Result<File> {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
            let text = std::fs::read(path)?;
            let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
            file.set_len(whole as u64)?;
            file.seek(SeekFrom::End(0))?;
            Ok(file)
        };
        let mut log = Self(open().with_context(|| path.display().to_string())?);
        if results.setting.is_none() {
            log.append(&Line::Setting(setting.clone()))?;
        }
        Ok((log, results))
    }

    pub fn append(&mut self, line: &Line) -> Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        self.0.write_all(text.as_bytes())?;
        Ok(self.0.sync_data()?)
    }
}

/// The nearest rank: the smallest value that `percent` of all do not exceed. Of nothing there is none.
pub fn percentile(values: &[f64], percent: usize) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
pub mod tests {
    use std::collections::BTreeMap;

    use super::*;

    pub fn round(subject: Subject, fault: Fault, outage_ms: f64) -> Round {
        Round {
            subject,
            fault,
            variant: Variant::Idle,
            at: Timestamp::UNIX_EPOCH,
            outage_ms,
            recovered: true,
            leader_lost: false,
            full_syncs: 1,
            restarts: 1,
            verdict: Verdict {
                acknowledged: 1000,
                lost: 2,
                confirmed: 10,
                confirmed_lost: 0,
                first_lost: vec![7, 8],
                gaps: 1,
                max_gap_ms: outage_ms,
            },
            gaps: vec![Gap {
                from: Timestamp::UNIX_EPOCH,
                ms: outage_ms,
                errors: BTreeMap::from([("refused".to_owned(), 3)]),
                open: false,
            }],
            trace: None,
        }
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let of = |percent| percentile(&hundred, percent);
        assert_eq!((of(50), of(99), of(100), of(0)), (Some(50.0), Some(99.0), Some(100.0), Some(1.0)));
        assert_eq!(percentile(&[3.0, 1.0, 2.0], 50), Some(2.0));
        assert_eq!(percentile(&[3.0, 1.0, 2.0], 99), Some(3.0));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn an_interrupted_file_is_gone_on_with() -> Result<()> {
        let folder = std::env::temp_dir().join(format!("bench-{:08x}", rand::random::<u32>()));
        let path = folder.join("results.jsonl");
        let setting = Setting { cores: 2, ..Setting::default() };
        let one = round(Subject::Operator, Fault::Crash, 61.5);

        let (mut log, results) = Log::resume(&path, &setting)?;
        assert!(results.rounds.is_empty());
        log.append(&Line::Round(one.clone()))?;
        log.0.write_all(br#"{"line":"round","subj"#)?;

        let (mut log, results) = Log::resume(&path, &Setting { commit: "same code".into(), ..setting.clone() })?;
        assert_eq!(results.rounds, std::slice::from_ref(&one));
        log.append(&Line::Round(one.clone()))?;
        let results = Results::read(&path)?;
        assert_eq!((results.rounds, results.setting), (vec![one.clone(), one], Some(setting)));

        let elsewhere = Log::resume(&path, &Setting { cores: 64, ..Setting::default() });
        assert!(elsewhere.is_err_and(|error| error.to_string().contains("another setting")));
        std::fs::remove_dir_all(folder)?;
        Ok(())
    }
}
