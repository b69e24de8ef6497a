//! The `RedisReplication` resource as people write and read it: types, defaults, validation rules, conditions, events.

mod config;
mod crd;
mod events;
mod reference;
mod request;
mod reserved;
mod silence;
mod spec;
mod status;

pub use crate::replication::{
    ConditionType, FailoverPolicy, Outcome, Reason, RequestKind, TransitionKind, TransitionPhase,
};
pub use config::ConfigValue;
pub use crd::crd;
pub use events::{EventReason, Occasion};
pub use reference::reference;
pub use request::{ACKNOWLEDGED_EPOCH, ANY_MEMBER, acknowledged_epoch};
pub use reserved::RESERVED_DIRECTIVES;
pub use silence::BUSY_MARGIN;
pub use spec::{
    Auth, ClaimRetention, Durability, Failover, ImagePullPolicy, Metrics, Persistence, PersistenceMode,
    RedisReplication, RedisReplicationSpec, Routing, ServiceSettings, ServiceType, Services,
};
pub use status::{
    CompletedTransition, DataReplaced, MemberPhase, MemberRole, MemberStatus, RedisReplicationStatus, Transition,
};
