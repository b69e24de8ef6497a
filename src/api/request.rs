//! What a user requests by an annotation on the resource. The operator removes it when it has dealt with it.

use std::collections::BTreeMap;

/// Value of both annotations: whoever is the best.
pub const ANY_MEMBER: &str = "any";

/// The annotation by which a user acknowledges all exchanges of data up to an epoch, its value. It may stay.
pub const ACKNOWLEDGED_EPOCH: &str = "redis.replication.dev/acknowledged-epoch";

/// Up to which epoch exchanges of data are acknowledged; 0 without a number.
pub fn acknowledged_epoch(annotations: &BTreeMap<String, String>) -> i64 {
    annotations.get(ACKNOWLEDGED_EPOCH).and_then(|epoch| epoch.trim().parse().ok()).unwrap_or(0)
}
