//! The writing itself.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::{
    DrillArgs, DrillError, Line, Tell,
    connection::{Connection, Connector, Failure},
    ledger::{Gaps, Ledger, Outage},
    report::{self, Gap},
};

/// Between two attempts at the same write.
const PAUSE: Duration = Duration::from_millis(3);
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// How far a writer that fell behind catches up.
const CATCH_UP: Duration = Duration::from_millis(20);

/// Writes one number after another.
pub struct Writer<'a> {
    connector: &'a Connector,
    connection: Option<Connection>,
    prefix: &'a str,
    tell: Tell<'a>,
    interval: Duration,
    duration: Option<Duration>,
    wait: u32,
    wait_within: Duration,
    began: Instant,
    began_at: Timestamp,
    next_progress: Duration,
    failing: Option<String>,
    ledger: Ledger,
    gaps: Gaps,
}

impl<'a> Writer<'a> {
    /// A writer that has written nothing yet.
    pub fn new(args: &DrillArgs, connector: &'a Connector, prefix: &'a str, tell: Tell<'a>) -> Self {
        Self {
            connector,
            connection: None,
            prefix,
            tell,
            interval: if args.rate == 0 { Duration::ZERO } else { Duration::from_secs(1) / args.rate },
            duration: args.duration,
            wait: args.wait,
            wait_within: Duration::from_millis(args.response_timeout_ms / 2),
            began: Instant::now(),
            began_at: Timestamp::now(),
            next_progress: PROGRESS_EVERY,
            failing: None,
            ledger: Ledger::default(),
            gaps: Gaps::new(Duration::from_millis(args.gap_ms)),
        }
    }

    /// Writes until the time is over. May be dropped at any point: what was acknowledged until then is known.
    pub async fn write(&mut self) -> Result<(), DrillError> {
        let mut due = self.now();
        while !self.is_over() {
            self.gaps.due(due);
            if !self.write_one().await? {
                break;
            }
            if self.wait > 0 {
                self.wait_for_replicas().await;
            }
            self.progress()?;
            due = next_due(due, self.interval, self.now());
            if !self.interval.is_zero() {
                tokio::time::sleep_until((self.began + due).into()).await;
            }
        }
        Ok(())
    }

    /// Repeats the write that is due until it is acknowledged; `false` if the time was over before.
    async fn write_one(&mut self) -> Result<bool, DrillError> {
        let number = self.ledger.due();
        let key = format!("{}:{number}", self.prefix);
        while !self.is_over() {
            match self.attempt(&key, number).await {
                Ok(()) => {
                    let now = self.now();
                    self.ledger.acknowledge();
                    self.failing = None;
                    if let Some(outage) = self.gaps.acknowledged(now) {
                        let gap = self.gap(outage, false);
                        (self.tell)(&Line::Gap(gap))?;
                    }
                    return Ok(true);
                }
                Err(failure) => {
                    self.gaps.failed(&failure.kind);
                    if failure.reconnect {
                        self.connection = None;
                    }
                    self.failing = Some(failure.text);
                    self.progress()?;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        Ok(false)
    }

    async fn attempt(&mut self, key: &str, number: u64) -> Result<(), Failure> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            empty => empty.insert(self.connector.connect().await?),
        };
        connection.set(key, number).await
    }

    /// A write that is not confirmed is no failure; it is only not counted as confirmed.
    async fn wait_for_replicas(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        match connection.wait(self.wait, self.wait_within).await {
            Ok(replicas) if replicas >= self.wait => self.ledger.confirm(),
            Ok(_) => {}
            Err(failure) => {
                if failure.reconnect {
                    self.connection = None;
                }
            }
        }
    }

    /// Ends the writing.
    pub fn finish(mut self) -> Result<(Ledger, Gaps), DrillError> {
        let now = self.now();
        if self.failing.is_some()
            && let Some(outage) = self.gaps.ended(now)
        {
            let gap = self.gap(outage, true);
            (self.tell)(&Line::Gap(gap))?;
        }
        Ok((self.ledger, self.gaps))
    }

    fn progress(&mut self) -> Result<(), DrillError> {
        let now = self.now();
        if now < self.next_progress {
            return Ok(());
        }
        self.next_progress = now + PROGRESS_EVERY;
        (self.tell)(&Line::Progress {
            at: millis(self.began_at + now),
            acknowledged: self.ledger.acknowledged(),
            confirmed: self.ledger.confirmed(),
            failing: self.failing.clone(),
        })
    }

    fn gap(&self, outage: Outage, open: bool) -> Gap {
        Gap {
            from: millis(self.began_at + outage.from),
            ms: report::millis(outage.length),
            errors: outage.errors,
            open,
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn is_over(&self) -> bool {
        self.duration.is_some_and(|duration| self.now() >= duration)
    }
}

/// At the set pace; a writer that fell behind by more than a little (an outage) doesn't try to make up for it.
fn next_due(last: Duration, interval: Duration, now: Duration) -> Duration {
    let due = last + interval;
    if now > due + CATCH_UP || interval.is_zero() { now } else { due }
}

fn millis(at: Timestamp) -> Timestamp {
    at.round(jiff::Unit::Millisecond).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_pace_is_kept_but_outages_are_not_made_up_for() {
        assert_eq!(next_due(100 * MS, 2 * MS, 101 * MS), 102 * MS);
        assert_eq!(next_due(100 * MS, 2 * MS, 110 * MS), 102 * MS);
        assert_eq!(next_due(100 * MS, 2 * MS, 900 * MS), 900 * MS);
        assert_eq!(next_due(100 * MS, Duration::ZERO, 101 * MS), 101 * MS);
    }
}
