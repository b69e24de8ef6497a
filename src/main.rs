//! The command line: `run` the operator, print the `crd`.

use std::io::Write;

use kube::CustomResourceExt;
use redis_replication_operator::api::RedisReplication;

fn main() -> anyhow::Result<()> {
    let crd = serde_saphyr::to_string(&RedisReplication::crd())?;
    std::io::stdout().write_all(crd.as_bytes())?;
    Ok(())
}
