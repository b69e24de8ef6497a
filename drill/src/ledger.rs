//! What was acknowledged, what was confirmed, and when nothing was. Pure: the time is an input.

use std::{collections::BTreeMap, time::Duration};

/// The acknowledged writes: always 1 to n. Of each, whether enough replicas confirmed it.
#[derive(Debug, Default)]
pub struct Ledger {
    acknowledged: u64,
    confirmed: u64,
    /// One bit a write.
    confirmations: Vec<u64>,
}

impl Ledger {
    /// A ledger in which 1 to `written` are acknowledged.
    pub fn of(written: u64) -> Self {
        Self { acknowledged: written, ..Self::default() }
    }

    /// The number of the write that is due.
    pub fn due(&self) -> u64 {
        self.acknowledged + 1
    }

    /// The write that was due is acknowledged.
    pub fn acknowledge(&mut self) {
        self.acknowledged += 1;
    }

    /// Enough replicas have the last acknowledged write.
    pub fn confirm(&mut self) {
        let Some((word, bit)) = place(self.acknowledged) else { return };
        if self.confirmations.len() <= word {
            self.confirmations.resize(word + 1, 0);
        }
        self.confirmations[word] |= bit;
        self.confirmed += 1;
    }

    /// How many are acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// How many are confirmed.
    pub fn confirmed(&self) -> u64 {
        self.confirmed
    }

    /// Whether `write` was confirmed.
    pub fn is_confirmed(&self, write: u64) -> bool {
        place(write).is_some_and(|(word, bit)| self.confirmations.get(word).is_some_and(|w| w & bit != 0))
    }
}

fn place(write: u64) -> Option<(usize, u64)> {
    Some((usize::try_from(write / 64).ok()?, 1 << (write % 64)))
}

/// The outages: times in which a write was due and none was acknowledged. All times count from the drill's beginning.
#[derive(Debug)]
pub struct Gaps {
    from_length: Duration,
    due: Option<Duration>,
    last_acknowledged: Option<Duration>,
    errors: BTreeMap<String, u32>,
    count: usize,
    longest: Duration,
}

/// One outage.
#[derive(Debug, PartialEq, Eq)]
pub struct Outage {
    /// When the write was due.
    pub from: Duration,
    /// How long it was not acknowledged.
    pub length: Duration,
    /// What the attempts came to, and how often.
    pub errors: BTreeMap<String, u32>,
}

impl Gaps {
    /// Outages shorter than `from_length` are none.
    pub fn new(from_length: Duration) -> Self {
        Self {
            from_length,
            due: None,
            last_acknowledged: None,
            errors: BTreeMap::new(),
            count: 0,
            longest: Duration::ZERO,
        }
    }

    /// A write is due since `at`. Before the last one was acknowledged nothing can be.
    pub fn due(&mut self, at: Duration) {
        self.due = Some(self.last_acknowledged.map_or(at, |last| at.max(last)));
    }

    /// An attempt at it failed.
    pub fn failed(&mut self, kind: &str) {
        *self.errors.entry(kind.to_owned()).or_default() += 1;
    }

    /// It is acknowledged: an outage may have ended. The time before the first acknowledgement is none.
    pub fn acknowledged(&mut self, at: Duration) -> Option<Outage> {
        let outage = self.ended(at);
        self.last_acknowledged = Some(at);
        outage
    }

    /// The drill ends, and an outage with it.
    pub fn ended(&mut self, at: Duration) -> Option<Outage> {
        let errors = std::mem::take(&mut self.errors);
        let from = self.due.take()?;
        self.last_acknowledged?;
        let length = at.saturating_sub(from);
        if length < self.from_length {
            return None;
        }
        self.count += 1;
        self.longest = self.longest.max(length);
        Some(Outage { from, length, errors })
    }

    /// How many outages there were.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The longest of them.
    pub fn longest(&self) -> Duration {
        self.longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn confirmations_belong_to_single_writes() {
        let mut ledger = Ledger::default();
        for n in 1..=200 {
            assert_eq!(ledger.due(), n);
            ledger.acknowledge();
            if n % 3 == 0 {
                ledger.confirm();
            }
        }
        assert_eq!((ledger.acknowledged(), ledger.confirmed()), (200, 66));
        assert!((1..=200).all(|n| ledger.is_confirmed(n) == (n % 3 == 0)));
        assert!(!ledger.is_confirmed(201) && !ledger.is_confirmed(100_000));
    }

    #[test]
    fn an_outage_lasts_from_when_the_write_was_due() {
        let mut gaps = Gaps::new(20 * MS);
        gaps.due(Duration::ZERO);
        assert_eq!(gaps.acknowledged(500 * MS), None, "the first connection takes its time");
        gaps.due(502 * MS);
        assert_eq!(gaps.acknowledged(503 * MS), None, "too short");
        gaps.due(504 * MS);
        gaps.failed("refused");
        gaps.failed("refused");
        gaps.failed("readonly");
        let outage = gaps.acknowledged(567 * MS);
        let errors = BTreeMap::from([("refused".to_owned(), 2), ("readonly".to_owned(), 1)]);
        assert_eq!(outage, Some(Outage { from: 504 * MS, length: 63 * MS, errors }));
        assert_eq!((gaps.count(), gaps.longest()), (1, 63 * MS));
    }

    #[test]
    fn a_late_writer_is_not_an_outage() {
        let mut gaps = Gaps::new(20 * MS);
        gaps.due(Duration::ZERO);
        assert_eq!(gaps.acknowledged(100 * MS), None);
        gaps.due(2 * MS);
        assert_eq!(gaps.acknowledged(101 * MS), None, "it was due 99 ms ago, but no attempt was in vain");
    }

    #[test]
    fn an_outage_can_be_open_at_the_end() {
        let mut gaps = Gaps::new(20 * MS);
        gaps.due(Duration::ZERO);
        gaps.acknowledged(MS);
        gaps.due(2 * MS);
        gaps.failed("refused");
        assert_eq!(gaps.ended(1002 * MS).map(|outage| outage.length), Some(1000 * MS));
        assert_eq!(gaps.ended(2000 * MS), None);
    }
}
