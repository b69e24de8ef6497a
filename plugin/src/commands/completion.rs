//! `completion`.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::{
    args::Cli,
    error::{Error, exit},
    terminal,
};

/// Prints a completion script.
pub fn run(shell: Shell) -> Result<u8, Error> {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command().bin_name("kubectl-rr"), "kubectl-rr", &mut script);
    terminal::print(&String::from_utf8_lossy(&script))?;
    Ok(exit::OK)
}
