//! Every example works as it is written.

use std::path::Path;

use anyhow::{Context, Result};
use kube::ResourceExt;

use crate::harness::{LONG, Replication, Scene, ensure, objects, poll::eventually, scenario};

#[test]
fn every_example_becomes_ready() {
    scenario("examples", async |scene| {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/examples");
        let entries = std::fs::read_dir(&directory).with_context(|| directory.display().to_string())?;
        let mut files: Vec<_> = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
        files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
        files.sort();
        ensure(!files.is_empty(), || format!("{} is empty", directory.display()))?;
        for file in files {
            example(scene, &file).await.with_context(|| file.display().to_string())?;
        }
        Ok(())
    });
}

async fn example(scene: &Scene, file: &Path) -> Result<()> {
    let applied = objects::apply(&scene.client, scene.namespace.name(), &std::fs::read_to_string(file)?).await?;
    let resources = applied.iter().filter(|o| o.types.as_ref().is_some_and(|t| t.kind == "RedisReplication"));
    let names: Vec<_> = resources.map(ResourceExt::name_any).collect();
    ensure(!names.is_empty(), || "there is no RedisReplication in it".to_owned())?;
    for name in names {
        let replication = Replication::existing(&scene.client, scene.namespace.name(), &name);
        replication.agrees().await?;
        replication.populate(100).await?;
        replication.delete().await?;
        eventually(&format!("the pods of {name} are gone"), LONG, async || {
            let left = replication.pods().await?.len();
            ensure(left == 0, || format!("{left} are left"))
        })
        .await?;
    }
    Ok(())
}
