//! The command line: `run` the operator, print the `crd`, `drill` a replication with writes.

use std::{io::Write, process::ExitCode};

use clap::{Parser, Subcommand};
use redis_replication_operator::{
    api,
    drill::{self, DrillArgs},
    operator::{self, RunArgs},
};
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

#[derive(Parser)]
#[command(version, about = "Redis and Valkey master-replica clusters on Kubernetes that always have one master")]
struct Cli {
    /// How logs are written.
    #[arg(long, env = "LOG_FORMAT", default_value = "text", value_parser = ["text", "json"], global = true)]
    log_format: String,
    /// What is logged: `info`, `debug`, or a filter such as `redis_replication_operator=debug,kube=warn`.
    #[arg(long, env = "LOG_LEVEL", default_value = "info", global = true)]
    log_level: String,
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
    let filter = EnvFilter::try_new(&cli.log_level)?;
    let lines = if cli.log_format == "json" {
        tracing_subscriber::fmt::layer().json().flatten_event(true).boxed()
    } else {
        tracing_subscriber::fmt::layer().with_ansi(false).boxed()
    };
    tracing_subscriber::registry().with(filter).with(lines).init();
    // rustls wants exactly one provider, chosen before its first use
    rustls::crypto::aws_lc_rs::default_provider().install_default().map_err(|_| anyhow::anyhow!("TLS provider"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
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
