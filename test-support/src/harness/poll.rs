//! Waiting for states.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

const EVERY: Duration = Duration::from_millis(250);

/// Tries until `probe` succeeds; in the end fails with what it said last.
pub async fn eventually<T>(what: &str, within: Duration, mut probe: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let began = Instant::now();
    loop {
        // An attempt that hangs must not outlive the deadline by much.
        let patience = within.saturating_sub(began.elapsed()).max(Duration::from_secs(5));
        let error = match tokio::time::timeout(patience, probe()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error,
            Err(elapsed) => elapsed.into(),
        };
        if began.elapsed() >= within {
            return Err(error).with_context(|| format!("{what}: not within {within:?}; what was seen last"));
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Tries for the whole time; fails as soon as `probe` does. For what must not happen.
pub async fn always(what: &str, during: Duration, mut probe: impl AsyncFnMut() -> Result<()>) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < during {
        probe().await.with_context(|| format!("{what}: no more after {:.1} s", began.elapsed().as_secs_f64()))?;
        tokio::time::sleep(EVERY).await;
    }
    Ok(())
}
