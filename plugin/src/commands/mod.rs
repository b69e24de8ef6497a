//! What can be asked for, one file each.

mod ask;
mod cli;
mod completion;
mod events;
mod logs;
mod pause;
mod rehearse;
mod report;
mod status;
mod wait;
mod writer;

use crate::{
    args::{Cli, Command},
    cluster::Cluster,
    error::Error,
};

/// Does what the command line says; returns the exit code.
pub async fn run(cli: Cli) -> Result<u8, Error> {
    match &cli.command {
        Command::Completion { shell } => return completion::script(*shell),
        Command::Complete { words } => return completion::answer(words).await,
        _ => {}
    }
    if let Command::Failover(args) = &cli.command {
        ask::is_meant(args)?; // before anything else goes wrong
    }
    let cluster = Cluster::connect(&cli.connection).await?;
    match cli.command {
        Command::Status(args) => status::run(&cluster, &args).await,
        Command::Switchover(args) => ask::switchover(&cluster, &args).await,
        Command::Failover(args) => ask::failover(&cluster, &args).await,
        Command::Pause(args) => pause::run(&cluster, &args.name, true).await,
        Command::Resume(args) => pause::run(&cluster, &args.name, false).await,
        Command::Cli(args) => cli::run(&cluster, &args).await,
        Command::Logs(args) => logs::run(&cluster, &args).await,
        Command::Events(args) => events::run(&cluster, &args.name).await,
        Command::Report(args) => report::run(&cluster, &args).await,
        Command::Rehearse(args) => rehearse::run(&cluster, &args).await,
        Command::Completion { .. } | Command::Complete { .. } => unreachable!("done above"),
    }
}
