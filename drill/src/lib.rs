//! `drill`: a writer that remembers every acknowledgement, and afterwards looks which of them still hold.
//!
//! It writes `<prefix>:<n>` = `n` for n = 1, 2, 3 … one after another over a single connection, as an application
//! would that must not lose anything: a write that was not acknowledged is repeated until it is. So what was
//! acknowledged is always a whole range, and whatever of it is missing at the end was lost by the servers.
//!
//! Everything is told in lines of JSON on the standard output: see [`report::Line`].

mod connection;
mod ledger;
mod pod;
mod report;
mod verify;
mod writer;

use std::{path::PathBuf, time::Duration};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

pub use pod::Place;
pub use report::{Gap, Line, Verdict};

use connection::{Connector, Timeouts};
use ledger::{Gaps, Ledger};

/// Takes each line.
pub type Tell<'a> = &'a mut dyn FnMut(&Line) -> Result<(), DrillError>;

/// What `drill` can be told.
#[derive(Args, Clone, Debug)]
pub struct DrillArgs {
    /// Where to write: host:port of the master's Service.
    #[arg(long, default_value = "127.0.0.1:6379")]
    pub address: String,
    /// The address is that of a Sentinel: ask it before every connection where the master of this name is.
    #[arg(long, value_name = "NAME")]
    pub sentinel_master: Option<String>,
    /// File that holds the password. Absent: no authentication.
    #[arg(long)]
    pub password_file: Option<PathBuf>,
    /// Writes a second; 0: as many as possible.
    #[arg(long, default_value_t = 500)]
    pub rate: u32,
    /// How long to write, e.g. `90s` or `5m`. Absent: until SIGTERM or SIGINT.
    #[arg(long, value_parser = formats::duration::parse)]
    pub duration: Option<Duration>,
    /// First part of the keys. Absent: `drill:` and a random number, so that two drills never meet.
    #[arg(long)]
    pub key_prefix: Option<String>,
    /// WAIT for so many replicas after each write, and count the writes that they confirmed.
    #[arg(long, default_value_t = 0)]
    pub wait: u32,
    /// Write nothing: look whether `<prefix>:1` to `<prefix>:<n>` are there, and tell.
    #[arg(long, value_name = "N", requires = "key_prefix")]
    pub verify_only: Option<u64>,
    /// Outages from this length on are reported.
    #[arg(long, value_name = "MS", default_value_t = 20)]
    pub gap_ms: u64,
    /// After how long without an answer another attempt to connect begins beside it. Each may take a second.
    #[arg(long, value_name = "MS", default_value_t = 100)]
    pub attempt_ms: u64,
    /// How long an answer may take before the connection is given up.
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    pub response_timeout_ms: u64,
    /// How long the verification may go on looking for a master at the end.
    #[arg(long, value_parser = formats::duration::parse, default_value = "60s")]
    pub verify_within: Duration,
}

/// Why a drill failed.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// Acknowledged writes are not there any more.
    #[error("{lost} of {acknowledged} acknowledged writes were lost")]
    Lost {
        /// Writes that are missing.
        lost: u64,
        /// Writes that were acknowledged.
        acknowledged: u64,
    },
    /// No master answered in time at the end.
    #[error("could not verify: no master answered within {within:?}; the last error: {last}")]
    NotVerified {
        /// How long it was tried.
        within: Duration,
        /// What the last attempt said.
        last: String,
    },
    /// The address is not host:port.
    #[error("the address must be host:port, not {0:?}")]
    Address(String),
    /// Signals or the standard output do not work.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A line could not be written as JSON.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
}

impl DrillError {
    /// The exit code of the process: 3 means that acknowledged writes were lost.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Lost { .. } => 3,
            _ => 1,
        }
    }
}

/// Writes until told to stop, then verifies; tells everything on the standard output.
pub async fn run(args: DrillArgs) -> Result<(), DrillError> {
    let verdict = drill(&args, &mut report::print).await?;
    match verdict.lost {
        0 => Ok(()),
        lost => Err(DrillError::Lost { lost, acknowledged: verdict.acknowledged }),
    }
}

/// The same, told to whoever wants to know. Lost writes are no error here.
pub async fn drill(args: &DrillArgs, tell: Tell<'_>) -> Result<Verdict, DrillError> {
    drill_until(args, signalled(), tell).await
}

/// The same, until `stop` says so instead of a signal.
pub async fn drill_until(
    args: &DrillArgs,
    stop: impl Future<Output = Result<(), DrillError>>,
    tell: Tell<'_>,
) -> Result<Verdict, DrillError> {
    let timeouts = Timeouts::new(args.attempt_ms, args.response_timeout_ms);
    let connector = Connector::new(&args.address, args.password_file.clone(), timeouts)?;
    let connector = connector.by_sentinel(args.sentinel_master.clone());
    let prefix = args.key_prefix.clone().unwrap_or_else(|| format!("drill:{:08x}", rand::random::<u32>()));

    let (ledger, gaps) = match args.verify_only {
        Some(written) => (Ledger::of(written), Gaps::new(Duration::from_millis(args.gap_ms))),
        None => write(args, &connector, &prefix, stop, tell).await?,
    };
    let verdict = verify::verify(&connector, &prefix, &ledger, &gaps, args.verify_within).await?;
    tell(&Line::Result(verdict.clone()))?;
    Ok(verdict)
}

/// Waits for SIGTERM or SIGINT.
async fn signalled() -> Result<(), DrillError> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

async fn write(
    args: &DrillArgs,
    connector: &Connector,
    prefix: &str,
    stop: impl Future<Output = Result<(), DrillError>>,
    tell: Tell<'_>,
) -> Result<(Ledger, Gaps), DrillError> {
    tell(&Line::Started {
        address: args.address.clone(),
        key_prefix: prefix.to_owned(),
        rate: args.rate,
        wait: args.wait,
    })?;
    let mut writer = writer::Writer::new(args, connector, prefix, tell);
    tokio::select! {
        result = writer.write() => result?,
        result = stop => result?,
    }
    writer.finish()
}
