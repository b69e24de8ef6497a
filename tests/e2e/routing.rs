//! How the master Service finds its pod: by a selector, or by a slice that the operator writes.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Service;
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::failover::{survives_a_forced_deletion, survives_a_kill};
use crate::harness::{LONG, Replication, ensure, poll::eventually, scenario};

const OWN: &str = "{replicas: 3, services: {masterRouting: EndpointSlice}}";

/// Waits until the Service is led by the operator's slice and nothing else, or by its selector and nothing else.
async fn led_by(cache: &Replication, routing: &str) -> Result<()> {
    eventually(&format!("the Service is led by {routing}"), LONG, async || {
        let service = cache.all::<Service>().get("cache-master").await?;
        let selector = service.spec.context("no spec")?.selector.unwrap_or_default();
        let names: Vec<_> = cache.slices("master").await?.iter().map(ResourceExt::name_any).collect();
        let right = match routing {
            "EndpointSlice" => selector.is_empty() && names == ["cache-master"],
            _ => selector.len() == 1 && names.len() == 1 && names != ["cache-master"],
        };
        ensure(right, || format!("selector {selector:?}, slices {names:?}"))
    })
    .await?;
    cache.agrees().await?;
    Ok(())
}

#[test]
fn a_slice_of_the_operators_own_follows_the_master() {
    scenario("own-slice", async |scene| {
        let cache = scene.ready("cache", OWN).await?;
        led_by(&cache, "EndpointSlice").await?;
        survives_a_kill(&cache).await?;
        survives_a_forced_deletion(&cache).await?;
        led_by(&cache, "EndpointSlice").await
    });
}

/// There and back under load, with a master lost in each state.
#[test]
fn the_routing_can_be_changed() {
    scenario("change-routing", async |scene| {
        let cache = scene.ready("cache", "replicas: 3").await?;
        let writer = cache.writer(&["--wait=1"]).await?;
        for routing in ["EndpointSlice", "Selector"] {
            cache.patch_spec(json!({ "services": { "masterRouting": routing } })).await?;
            led_by(&cache, routing).await?;
            let former = cache.master().await?;
            cache.kill(&former).await?;
            cache.another_master(&former, LONG).await?;
            led_by(&cache, routing).await?;
            writer.writes_on().await?;
        }
        writer.stop().await?.nothing_confirmed_lost()
    });
}

/// Kubernetes may give the address to another pod; a selector would have taken it away as well.
#[test]
fn the_address_of_a_pod_that_is_gone_does_not_stay() {
    scenario("own-slice-lingers", async |scene| {
        let cache = scene.ready("cache", "{replicas: 1, services: {masterRouting: EndpointSlice}}").await?;
        let nowhere = json!({ "nodeSelector": { "kubernetes.io/hostname": "nowhere" } });
        cache.patch_spec(nowhere).await?;
        cache.force_delete_pod("cache-0").await?;
        eventually("the Service leads nowhere", LONG, async || {
            let addresses = cache.endpoints("master").await?;
            ensure(addresses.is_empty(), || format!("it leads to {addresses:?}"))
        })
        .await?;
        cache.patch_spec(json!({ "nodeSelector": null })).await?;
        cache.agrees().await?;
        Ok(())
    });
}

/// What somebody does by hand to such a Service is undone.
#[test]
fn a_selector_set_by_hand_is_taken_off_again() {
    scenario("own-slice-by-hand", async |scene| {
        let cache = scene.ready("cache", OWN).await?;
        let elsewhere = json!({ "spec": { "selector": { "app": "elsewhere" } } });
        let api = cache.all::<Service>();
        api.patch("cache-master", &PatchParams::default(), &Patch::Merge(elsewhere)).await?;
        led_by(&cache, "EndpointSlice").await
    });
}
