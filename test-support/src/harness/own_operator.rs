//! An operator that runs beside the tests and looks after one scenario's namespace only: `E2E_OPERATOR` names its binary.
//!
//! For work on the operator: no image is built, and several checkouts can share a cluster (in which none is installed).

use std::{
    fs::OpenOptions,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result};

/// Such an operator. Dropping it ends it.
pub struct OwnOperator {
    namespace: String,
    process: Mutex<Child>,
    log: PathBuf,
}

impl OwnOperator {
    /// Are the scenarios to have operators of their own?
    pub fn wanted() -> bool {
        std::env::var_os("E2E_OPERATOR").is_some()
    }

    /// Starts one for a namespace, if that is wanted.
    pub fn start(namespace: &str) -> Result<Option<Self>> {
        if !Self::wanted() {
            return Ok(None);
        }
        let log = std::env::temp_dir().join(format!("{namespace}.log"));
        let process = Mutex::new(spawn(namespace, &log)?);
        Ok(Some(Self { namespace: namespace.to_owned(), process, log }))
    }

    /// Kills it.
    pub fn stop(&self) -> Result<()> {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        process.kill()?;
        process.wait()?;
        Ok(())
    }

    /// Kills it, and starts another.
    pub fn restart(&self) -> Result<()> {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        process.kill()?;
        process.wait()?;
        *process = spawn(&self.namespace, &self.log)?;
        Ok(())
    }

    /// What it has said, from the end.
    pub fn log(&self, lines: usize) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let all: Vec<_> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

impl Drop for OwnOperator {
    fn drop(&mut self) {
        let process = self.process.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = process.kill();
        let _ = process.wait();
    }
}

fn spawn(namespace: &str, log: &PathBuf) -> Result<Child> {
    let binary = std::env::var_os("E2E_OPERATOR").context("E2E_OPERATOR is not set")?;
    let output = OpenOptions::new().create(true).append(true).open(log)?;
    Command::new(&binary)
        .args(["run", "--identity", namespace, "--namespace", namespace, "--watch-namespace", namespace])
        .args(["--http-address", "127.0.0.1:0"])
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .with_context(|| format!("starting {}", binary.display()))
}
