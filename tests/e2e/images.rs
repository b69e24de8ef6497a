//! The servers that people run.

use crate::{failover::survives_a_kill, harness::scenario};

fn image(title: &str, image: &str) {
    scenario(title, async |scene| {
        let cache = scene.ready("cache", &format!("{{replicas: 3, image: '{image}'}}")).await?;
        survives_a_kill(&cache).await
    });
}

#[test]
fn redis_7_0() {
    image("redis-7-0", "docker.io/library/redis:7.0");
}

#[test]
fn redis_8_0() {
    image("redis-8-0", "docker.io/library/redis:8.0");
}

#[test]
fn valkey_8_1() {
    image("valkey-8-1", "docker.io/valkey/valkey:8.1");
}

#[test]
fn valkey_9_1() {
    image("valkey-9-1", "docker.io/valkey/valkey:9.1");
}
