//! The command line: `run` the operator, print the `crd`, `drill` a replication with writes.

use std::{io::Write, process::ExitCode};

use clap::{Parser, Subcommand};
use drill::DrillArgs;
use redis_replication_operator::{
    api,
    logging::{self, LogArgs},
    operator::{self, RunArgs},
};

#[derive(Parser)]
#[command(version, about = "Redis and Valkey master-replica clusters on Kubernetes that always have one master")]
struct Cli {
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the operator.
    Run(RunArgs),
    /// Print the custom resource definition.
    Crd,
    /// Print the page that explains its fields.
    Reference,
    /// Write to a replication, remember every acknowledgement, and tell how long writes were refused and what was lost.
    Drill(DrillArgs),
}

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    let logs = logging::init(&cli.log)?;
    // rustls wants exactly one provider, chosen before its first use
    rustls::crypto::aws_lc_rs::default_provider().install_default().map_err(|_| anyhow::anyhow!("TLS provider"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.spawn(logs.level.follow());
    match cli.command {
        Command::Run(args) => runtime.block_on(operator::run(args))?,
        Command::Crd => {
            let crd = serde_saphyr::to_string(&api::crd())?;
            std::io::stdout().write_all(crd.as_bytes())?;
        }
        Command::Reference => std::io::stdout().write_all(api::reference().as_bytes())?,
        Command::Drill(args) => {
            if let Err(error) = runtime.block_on(drill::run(args)) {
                eprintln!("drill: {error}");
                return Ok(ExitCode::from(error.exit_code()));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
