//! The command line of kubectl-rr.

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use kubectl_rr::{args::Cli, commands, error::exit};

fn main() -> ExitCode {
    let cli = Cli::parse();
    // rustls wants exactly one provider, chosen before its first use
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        return ExitCode::from(exit::FAILED);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(exit::FAILED);
        }
    };
    let outcome = runtime.block_on(commands::run(cli));
    // a thread may still wait for a key that nobody presses
    runtime.shutdown_timeout(Duration::from_millis(50));
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
