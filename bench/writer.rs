//! The client: the operator's own `drill`, on this machine and in a thread of its own, so that nothing here is in its way.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use drill::{DrillArgs, DrillError, Gap, Line, Verdict, drill_until};
use jiff::Timestamp;
use tokio::sync::oneshot;

use crate::plan::Variant;

/// Shorter gaps are of no interest.
const GAP_MS: &str = "2";
/// While a Service moves, packets to the former master vanish: so often another connection is tried.
const ATTEMPT_MS: &str = "20";
/// A write that waited so long was held up, even if it was not refused.
const LONG_WAIT_MS: f64 = 100.0;

/// Where to write.
#[derive(Clone, Debug)]
pub struct Target {
    /// host:port of the master's Service, or of a Sentinel.
    pub address: String,
    /// The name that Sentinel knows the master by.
    pub sentinel_master: Option<String>,
    pub password_file: Option<std::path::PathBuf>,
}

/// A running writer.
pub struct Writer {
    stop: Option<oneshot::Sender<()>>,
    lines: Arc<Mutex<Vec<Line>>>,
    thread: JoinHandle<Result<Verdict, DrillError>>,
}

#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    drill: DrillArgs,
}

impl Writer {
    pub fn start(target: &Target, variant: Variant) -> Result<Self> {
        let (rate, wait) = (variant.rate().to_string(), variant.wait().to_string());
        let arguments = ["drill", "--address", &target.address, "--rate", &rate, "--wait", &wait];
        let arguments = arguments.into_iter().chain(["--gap-ms", GAP_MS, "--attempt-ms", ATTEMPT_MS]);
        let mut args = Arguments::try_parse_from(arguments)?.drill;
        args.sentinel_master.clone_from(&target.sentinel_master);
        args.password_file.clone_from(&target.password_file);
        let lines: Arc<Mutex<Vec<Line>>> = Arc::default();
        let told = Arc::clone(&lines);
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("writer".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let until = async { stopped.await.map_or(Ok(()), Ok) };
            runtime.block_on(drill_until(&args, until, &mut |line| {
                told.lock().unwrap_or_else(PoisonError::into_inner).push(line.clone());
                Ok(())
            }))
        })?;
        Ok(Self { stop: Some(stop), lines, thread })
    }

    /// The gaps that began at `since` or later.
    pub fn gaps(&self, since: Timestamp) -> Vec<Gap> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let gaps = lines.iter().filter_map(|line| if let Line::Gap(gap) = line { Some(gap.clone()) } else { None });
        gaps.filter(|gap| gap.from >= since).collect()
    }

    /// Whether a write was acknowledged after `since`, as far as its last word tells.
    pub fn writes(&self, since: Timestamp) -> bool {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let last = lines.iter().rev().find(|line| matches!(line, Line::Progress { .. }));
        matches!(last, Some(Line::Progress { at, failing: None, .. }) if *at > since)
    }

    /// Why it does not write, as far as it says.
    pub fn last_word(&self) -> String {
        format!("{:?}", self.lines.lock().unwrap_or_else(PoisonError::into_inner).last())
    }

    /// Ends the writing, looks what is lost, and returns that with the gaps since `since`.
    pub async fn finish(mut self, since: Timestamp) -> Result<(Verdict, Vec<Gap>)> {
        drop(self.stop.take());
        while !self.thread.is_finished() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let gaps = self.gaps(since);
        let verdict = self.thread.join().map_err(|_| anyhow!("the writer panicked"))?;
        Ok((verdict.context("the writer")?, gaps))
    }
}

/// What of the gaps is an outage: those in which attempts failed, and those that were as long as one. A busy machine has slow
/// answers all the time; they are none, but if there is nothing else, the slowest stands for the round.
pub fn outages(gaps: Vec<Gap>) -> Vec<Gap> {
    let slowest = gaps.iter().max_by(|a, b| a.ms.total_cmp(&b.ms)).cloned();
    let outages: Vec<_> = gaps.into_iter().filter(|gap| !gap.errors.is_empty() || gap.ms >= LONG_WAIT_MS).collect();
    if outages.is_empty() { slowest.into_iter().collect() } else { outages }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn slow_answers_are_no_outage() {
        let gap = |ms, errors: &[&str]| Gap {
            from: Timestamp::UNIX_EPOCH,
            ms,
            errors: errors.iter().map(|kind| ((*kind).to_owned(), 1)).collect::<BTreeMap<_, _>>(),
            open: false,
        };
        assert!(outages(vec![]).is_empty());
        let waited = [gap(7.0, &[]), gap(20.0, &[]), gap(9.0, &[])];
        assert_eq!(outages(waited.to_vec()), [waited[1].clone()]);
        let refused = [gap(7.0, &["reset"]), gap(60.0, &["refused"]), gap(150.0, &[]), gap(90.0, &[])];
        assert_eq!(outages(refused.to_vec()), refused[..3], "several outages count together");
    }
}
