//! The committed definition is the one that the code makes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use redis_replication_operator::api::crd;

#[test]
fn the_committed_crd_is_up_to_date() {
    let committed = include_str!("../crds/redisreplications.yaml");
    let made = serde_saphyr::to_string(&crd()).expect("YAML");
    assert!(committed == made, "crds/redisreplications.yaml is not what the code makes: run `make crd`");
}
