//! A cluster to test with. It is called `cache`, in `shop`, so that a label with the product's name in the wrong place
//! does not pass for the cluster's.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{Cluster, InvalidSpec, validate};
use crate::api::RedisReplication;

/// A stored resource with this spec.
pub(super) fn resource(spec: &str) -> RedisReplication {
    let spec = serde_saphyr::from_str(spec).expect("a spec");
    let mut resource = RedisReplication::new("cache", spec);
    resource.metadata.namespace = Some("shop".into());
    resource.metadata.uid = Some("5a1e".into());
    resource
}

/// The validated cluster of that spec.
pub(super) fn cluster(spec: &str) -> Cluster {
    validate(&resource(spec)).expect("a valid spec")
}

/// Why that spec is refused.
pub(super) fn refusal(spec: &str) -> InvalidSpec {
    validate(&resource(spec)).expect_err("an invalid spec")
}
