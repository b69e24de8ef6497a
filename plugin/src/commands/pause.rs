//! `pause` and `resume`.

use serde_json::json;

use crate::{
    cluster::Cluster,
    error::{Error, exit},
};

/// Sets or clears `spec.paused`.
pub async fn run(cluster: &Cluster, name: &str, paused: bool) -> Result<u8, Error> {
    let resource = cluster.get(name).await?;
    if resource.spec.paused == paused {
        println!("{name} is {} already", if paused { "paused" } else { "not paused" });
        return Ok(exit::OK);
    }
    let value = if paused { json!(true) } else { json!(null) };
    cluster.patch(name, json!({ "spec": { "paused": value } })).await?;
    if paused {
        println!(
            "{name} is paused: the operator only observes, and there is no failover until `kubectl rr resume {name}`"
        );
    } else {
        println!("{name} is no longer paused");
    }
    Ok(exit::OK)
}
