//! The `RedisReplication` resource as people write and read it: types, defaults, validation rules, conditions, events.

mod closed_list;
mod conditions;
mod config;
mod crd;
mod events;
mod reference;
mod request;
mod reserved;
mod silence;
mod spec;
mod status;

pub use conditions::{ConditionType, Reason};
pub use config::ConfigValue;
pub use crd::crd;
pub use events::{EventReason, Occasion};
pub use reference::reference;
pub use request::{ACKNOWLEDGED_EPOCH, ANY_MEMBER, RequestKind, acknowledged_epoch};
pub use reserved::RESERVED_DIRECTIVES;
pub use silence::BUSY_MARGIN;
pub use spec::{
    Auth, ClaimRetention, Durability, Failover, FailoverPolicy, ImagePullPolicy, Metrics, Persistence, PersistenceMode,
    RedisReplication, RedisReplicationSpec, Routing, ServiceSettings, ServiceType, Services,
};
pub use status::{
    CompletedTransition, DataReplaced, MemberPhase, MemberRole, MemberStatus, Outcome, RedisReplicationStatus,
    Transition, TransitionKind, TransitionPhase,
};
