//! At rest nothing is written.

use std::time::Duration;

use anyhow::bail;

use crate::harness::{
    LONG, ensure, objects, operator,
    poll::{always, eventually},
    scenario_alone,
};

const REST: Duration = Duration::from_secs(60);
/// What still moves within this time after everything agreed is the last of a beginning, not rest.
const QUIET: Duration = Duration::from_secs(10);

#[test]
fn nothing_moves_for_a_minute() {
    scenario_alone("rest", async |scene| {
        let (client, namespace) = (&scene.client, scene.namespace.name());
        let cache = scene.ready("cache", "{replicas: 3, persistence: {size: 64Mi}}").await?;
        cache.populate(1000).await?;
        scene.ready("other", "{replicas: 1}").await?;

        // EndpointSlices and Deployments of others settle too.
        let mut seen = (objects::resource_versions(client, namespace).await?, operator::api_writes(client).await?);
        eventually("it comes to rest", LONG, async || {
            tokio::time::sleep(QUIET).await;
            let now = (objects::resource_versions(client, namespace).await?, operator::api_writes(client).await?);
            if now == seen {
                return Ok(());
            }
            let message = difference(&seen.0, &now.0) + &difference(&seen.1, &now.1);
            seen = now;
            bail!(message)
        })
        .await?;

        always("nothing moves", REST, async || {
            let now = objects::resource_versions(client, namespace).await?;
            ensure(now == seen.0, || difference(&seen.0, &now))?;
            let writes = operator::api_writes(client).await?;
            ensure(writes == seen.1, || difference(&seen.1, &writes))
        })
        .await
    });
}

fn difference<V: PartialEq + std::fmt::Debug>(
    before: &std::collections::BTreeMap<String, V>,
    after: &std::collections::BTreeMap<String, V>,
) -> String {
    let changed = after.iter().filter(|(key, value)| before.get(*key) != Some(value));
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    let changed = changed.map(|(key, value)| format!("{key}: {:?} became {value:?}; ", before.get(key)));
    changed.chain(gone.map(|key| format!("{key} is gone; "))).collect()
}
