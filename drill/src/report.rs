//! What a drill tells: one JSON object a line.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::DrillError;

/// One line of the output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Line {
    /// The first line.
    Started {
        /// Where it writes.
        address: String,
        /// First part of the keys.
        key_prefix: String,
        /// Writes a second; 0: as many as possible.
        rate: u32,
        /// Replicas that are waited for after each write.
        wait: u32,
    },
    /// Each second.
    Progress {
        /// When.
        at: Timestamp,
        /// Writes acknowledged until now.
        acknowledged: u64,
        /// Those that enough replicas confirmed.
        confirmed: u64,
        /// Why the write that is due is not acknowledged, if it is not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failing: Option<String>,
    },
    /// No write was acknowledged for a while.
    Gap(Gap),
    /// The last line: what was verified.
    Result(Verdict),
}

/// A time in which a write was due and none was acknowledged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// When the write was due.
    pub from: Timestamp,
    /// Milliseconds until it was acknowledged.
    pub ms: f64,
    /// What the attempts in between came to, and how often.
    pub errors: BTreeMap<String, u32>,
    /// The drill ended before the write was acknowledged.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub open: bool,
}

/// What became of the writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Writes acknowledged.
    pub acknowledged: u64,
    /// Those of them that are not there any more.
    pub lost: u64,
    /// Writes that enough replicas had confirmed.
    pub confirmed: u64,
    /// Those of them that are not there any more.
    pub confirmed_lost: u64,
    /// The first few lost numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first_lost: Vec<u64>,
    /// How many gaps there were.
    pub gaps: usize,
    /// Milliseconds of the longest one.
    pub max_gap_ms: f64,
}

/// A length of time in milliseconds, to the tenth.
pub fn millis(length: Duration) -> f64 {
    (length.as_secs_f64() * 10_000.0).round() / 10.0
}

/// Writes one line to the standard output.
pub fn print(line: &Line) -> Result<(), DrillError> {
    let text = serde_json::to_string(line)?;
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_documented_shape() -> Result<(), serde_json::Error> {
        let gap = Line::Gap(Gap {
            from: Timestamp::UNIX_EPOCH,
            ms: 63.2,
            errors: BTreeMap::from([("refused".into(), 5), ("readonly".into(), 1)]),
            open: false,
        });
        let text = serde_json::to_string(&gap)?;
        assert_eq!(
            text,
            r#"{"event":"gap","from":"1970-01-01T00:00:00Z","ms":63.2,"errors":{"readonly":1,"refused":5}}"#
        );
        assert_eq!(serde_json::from_str::<Line>(&text)?, gap);
        Ok(())
    }
}
