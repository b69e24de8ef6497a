//! What is committed of the resource is what the code makes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use redis_replication_operator::api::{crd, reference};

#[test]
fn the_committed_crd_is_up_to_date() {
    let committed = include_str!("../crds/redisreplications.yaml");
    let made = serde_saphyr::to_string(&crd()).expect("YAML");
    assert!(committed == made, "crds/redisreplications.yaml is not what the code makes: run `make crd`");
}

#[test]
fn the_reference_of_its_fields_is_up_to_date() {
    let committed = include_str!("../docs/reference.md");
    assert!(committed == reference(), "docs/reference.md is not what the code makes: run `make crd`");
}

/// Every line of the table is whole, and the fields of the example are in it.
#[test]
fn the_reference_is_a_table_of_every_field() {
    let page = reference();
    let rows: Vec<_> = page.lines().filter(|l| l.starts_with("| `")).collect();
    assert!(rows.len() > 60, "{} rows", rows.len());
    for row in rows {
        let cells = row.replace("\\|", "").matches('|').count();
        assert_eq!(cells, 6, "{row}");
    }
    for field in ["| `replicas` | integer | `3` | 1 to 9 |", "| `persistence.size` | ", "| `members[].phase` | "] {
        assert!(page.contains(field), "{field}");
    }
}
