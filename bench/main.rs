//! How long a master's loss keeps clients from writing, and what it costs: of this operator and of Sentinel, with the same
//! writer. Started by `make bench`; `make bench-report` makes `docs/benchmark.md` of the results.

mod faults;
mod floor;
mod plan;
mod plot;
mod report;
mod results;
mod rounds;
mod sentinel;
mod servers;
mod service_churn;
mod setting;
mod subjects;
mod table;
mod trace;
mod writer;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use plan::{Fault, Subject, Variant, Wanted};
use results::{Line, Log, Results};
use rounds::Patience;
use setting::Setting;
use subjects::Standing;
use test_support::harness::{self, client};
use tokio::signal::unix::{SignalKind, signal};

/// So many rounds may fail in a row before something is wrong with the cluster.
const FAILURES: u32 = 3;

/// Rounds of the floor, at most.
const FLOORS: usize = 20;

#[derive(Parser)]
#[command(about = "Measures what faults cost")]
struct Cli {
    /// Where the results are kept: a line of JSON for each round.
    #[arg(long, env = "RESULTS", default_value = "bench/results.jsonl", global = true)]
    results: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure what is missing in the results.
    Run(RunArgs),
    /// Write the table and the plot.
    Report(report::ReportArgs),
}

#[derive(Args)]
struct RunArgs {
    /// Rounds of each fault. Absent: of this operator's crash and switchover in the first variant 100, of all else 20.
    #[arg(long, env = "ROUNDS")]
    rounds: Option<usize>,
    #[arg(long, env = "FAULTS", value_enum, value_delimiter = ',')]
    faults: Vec<Fault>,
    #[arg(long, env = "VARIANTS", value_enum, value_delimiter = ',', default_value = "idle,busy-wait")]
    variants: Vec<Variant>,
    #[arg(long, env = "SUBJECTS", value_enum, value_delimiter = ',')]
    subjects: Vec<Subject>,
    /// Seconds without any event before each fault.
    #[arg(long, env = "CALM", default_value_t = 4)]
    calm: u64,
    /// Seconds after which the damage is undone by hand.
    #[arg(long, env = "LIMIT", default_value_t = 60)]
    limit: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    match cli.command {
        Command::Run(args) => run(args, &cli.results).await,
        Command::Report(args) => report::write(&args, &cli.results),
    }
}

async fn run(args: RunArgs, path: &std::path::Path) -> Result<()> {
    let client = client().await?;
    let setting = Setting::now(&client, subjects::IMAGE).await?;
    let (mut log, mut results) = Log::resume(path, &setting)?;
    let all = |given: Vec<Fault>| if given.is_empty() { Fault::ALL.to_vec() } else { given };
    let wanted = Wanted { rounds: args.rounds, faults: all(args.faults), variants: args.variants };
    let patience = Patience { calm: Duration::from_secs(args.calm), limit: Duration::from_secs(args.limit) };
    let subjects = if args.subjects.is_empty() { Subject::ALL.to_vec() } else { args.subjects };

    let interrupted = interrupted()?;
    for subject in subjects {
        let missing = wanted.missing(subject, &results.rounds);
        if missing.is_empty() || interrupted.load(Ordering::Relaxed) {
            continue;
        }
        println!("{}: {} rounds", subject.title(), missing.len());
        let standing = Standing::create(subject).await?;
        let done = measure(&standing, &missing, patience, &interrupted, &mut log, &mut results).await;
        standing.remove().await;
        done?;
    }
    if wanted.faults.contains(&Fault::Crash) {
        let rounds = wanted.rounds.unwrap_or(FLOORS).min(FLOORS);
        floor::measure(&client, rounds, patience.calm, &interrupted, &mut log, &mut results).await?;
    }
    if interrupted.load(Ordering::Relaxed) {
        println!("interrupted; the same command goes on where this one ended");
    }
    Ok(())
}

async fn measure(
    standing: &Standing,
    missing: &[(Fault, Variant)],
    patience: Patience,
    interrupted: &AtomicBool,
    log: &mut Log,
    results: &mut Results,
) -> Result<()> {
    let name = |variant: Variant| variant.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default();
    let mut failures = 0;
    for (number, &(fault, variant)) in missing.iter().enumerate() {
        if interrupted.load(Ordering::Relaxed) {
            break;
        }
        let what = format!("{}/{} {}, {}", number + 1, missing.len(), fault.title(), name(variant));
        let spares_leader = plan::spares_leader(&results.rounds, standing.subject, fault);
        match rounds::run(standing, fault, variant, spares_leader, patience).await {
            Ok(round) => {
                failures = 0;
                let (lost, of) = (round.verdict.lost, round.verdict.acknowledged);
                println!("  {what}: {}, {lost} of {of} writes lost", table::length(round.outage_ms));
                log.append(&Line::Round(round.clone()))?;
                results.rounds.push(round);
            }
            Err(error) => {
                failures += 1;
                println!("  {what}: not measured: {error:#}");
                if failures == FAILURES {
                    bail!("{failures} rounds in a row could not be measured");
                }
            }
        }
    }
    Ok(())
}

/// Becomes true at the first SIGINT or SIGTERM: the round that is going on is ended, and its damage undone. The second one
/// ends everything at once.
fn interrupted() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&flag);
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if raised.swap(true, Ordering::Relaxed) {
                std::process::exit(1);
            }
            println!("interrupted: this round is brought to its end; once more leaves everything as it is");
        }
    });
    Ok(flag)
}
