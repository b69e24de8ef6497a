//! Looking afterwards which of the acknowledged writes are there.

use std::time::{Duration, Instant};

use super::{
    DrillError,
    connection::{Connection, Connector, Failure},
    ledger::{Gaps, Ledger},
    report::{self, Verdict},
};

const BATCH: u64 = 1000;
const PAUSE: Duration = Duration::from_millis(50);
const LOST_SHOWN: usize = 10;

/// Reads all acknowledged writes back from the master.
pub async fn verify(
    connector: &Connector,
    prefix: &str,
    ledger: &Ledger,
    gaps: &Gaps,
    within: Duration,
) -> Result<Verdict, DrillError> {
    let mut verdict = Verdict {
        acknowledged: ledger.acknowledged(),
        lost: 0,
        confirmed: ledger.confirmed(),
        confirmed_lost: 0,
        first_lost: Vec::new(),
        gaps: gaps.count(),
        max_gap_ms: report::millis(gaps.longest()),
    };
    let mut connection = None;
    let mut answered = Instant::now();
    let mut first = 1;
    while first <= ledger.acknowledged() {
        let last = (first + BATCH - 1).min(ledger.acknowledged());
        match missing(connector, &mut connection, prefix, first, last).await {
            Ok(numbers) => {
                for number in numbers {
                    verdict.lost += 1;
                    verdict.confirmed_lost += u64::from(ledger.is_confirmed(number));
                    if verdict.first_lost.len() < LOST_SHOWN {
                        verdict.first_lost.push(number);
                    }
                }
                first = last + 1;
                answered = Instant::now();
            }
            Err(failure) if answered.elapsed() < within => {
                tracing::debug!(error = failure.text, "cannot verify yet");
                connection = None;
                tokio::time::sleep(PAUSE).await;
            }
            Err(failure) => return Err(DrillError::NotVerified { within, last: failure.text }),
        }
    }
    Ok(verdict)
}

/// Those of `first` to `last` that are not there.
async fn missing(
    connector: &Connector,
    connection: &mut Option<Connection>,
    prefix: &str,
    first: u64,
    last: u64,
) -> Result<Vec<u64>, Failure> {
    let open = match connection {
        Some(open) => open,
        none => none.insert(master(connector).await?),
    };
    let keys: Vec<String> = (first..=last).map(|number| format!("{prefix}:{number}")).collect();
    let values = open.get_all(&keys).await?;
    // Asked again: a master that handed over in between answers with data that may have gone on growing elsewhere.
    if !open.is_master().await? {
        return Err(Failure::not_master());
    }
    let found = |number: u64, value: &Option<String>| value.as_deref() == Some(number.to_string().as_str());
    Ok((first..=last).zip(&values).filter(|(number, value)| !found(*number, value)).map(|(number, _)| number).collect())
}

async fn master(connector: &Connector) -> Result<Connection, Failure> {
    let mut connection = connector.connect().await?;
    if connection.is_master().await? { Ok(connection) } else { Err(Failure::not_master()) }
}
