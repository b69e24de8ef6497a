//! What is done about an object that cannot be decoded: it is told, and for the resource itself what can be done without its
//! spec or its record.

use std::sync::Arc;

use k8s_openapi::{
    api::core::v1::ObjectReference,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use kube::{Client, Resource};
use serde_json::json;

use crate::{
    api::{ConditionType, EventReason, Reason, RedisReplication},
    kubernetes::{
        apply,
        events::{Publisher, Severity},
        lease::Leadership,
        stores::Key,
        undecodable::{Fault, Notice, Reporter},
    },
};

/// What to do about the fault of a resource, in words.
pub fn advice(fault: &Fault, key: &Key, goes_on: bool) -> String {
    let Key { namespace, name } = key;
    match (fault.section().0, goes_on) {
        ("status", true) => format!(
            "{fault}: the operator has not written that, goes on from what it last knew, and writes that again; if the field \
             stays, remove it: kubectl -n {namespace} edit rr {name} --subresource=status"
        ),
        ("status", false) => format!(
            "{fault}: the operator rests on this record and does not guess it, so nothing is done for this resource and there \
             is no failover; correct the field, or remove it: kubectl -n {namespace} edit rr {name} --subresource=status"
        ),
        (_, true) => format!("{fault}: correct it; until then the operator keeps to the last spec that it could read"),
        (_, false) => format!(
            "{fault}: correct it; until then nothing is done for this resource and there is no failover, because the operator \
             does not know what it is to be"
        ),
    }
}

/// Tells of what cannot be decoded: one line in the log, an event on the object, and for a resource that nobody supervises its
/// condition `Ready`.
#[derive(Clone)]
pub struct Isolation {
    /// For the condition.
    pub client: Client,
    /// For people.
    pub events: Publisher,
    /// May this process write?
    pub leadership: Leadership,
}

impl Isolation {
    /// As the watches want it.
    pub fn reporter(self) -> Reporter {
        Arc::new(move |notice| self.take_in(notice))
    }

    fn take_in(&self, notice: Notice<'_>) {
        let (object, metadata, fault, goes_on) = match notice {
            Notice::Broken { object, metadata, fault, goes_on } => (object, metadata, fault, goes_on),
            Notice::Over { kind, key } => {
                tracing::info!(kind, namespace = key.namespace, name = key.name, "can be decoded again, or is gone");
                return;
            }
        };
        let kind = object.kind.clone().unwrap_or_default();
        let key = Key {
            namespace: object.namespace.clone().unwrap_or_default(),
            name: object.name.clone().unwrap_or_default(),
        };
        tracing::warn!(kind, namespace = key.namespace, name = key.name, %fault, goes_on, "cannot be decoded");
        if kind != RedisReplication::kind(&()) {
            self.events.publish(Severity::Warning, EventReason::Undecodable, "Observe", &fault.to_string(), object);
        } else if !goes_on {
            self.tell(&key, object, metadata, fault);
        } // otherwise the supervisor does, in the status
    }

    /// Of a resource without a supervisor.
    fn tell(&self, key: &Key, object: ObjectReference, metadata: &ObjectMeta, fault: &Fault) {
        let words = advice(fault, key, false);
        let reason = Reason::InvalidSpec;
        self.events.publish(Severity::Warning, reason, "Observe", &words, object);
        let condition = json!({
            "type": ConditionType::Ready.to_string(), "status": "False", "reason": reason.to_string(), "message": words,
            "lastTransitionTime": Time(jiff::Timestamp::now()), "observedGeneration": metadata.generation,
        });
        let (this, key) = (self.clone(), key.clone());
        tokio::spawn(async move {
            if this.leadership.holds()
                && let Err(error) = apply::condition(&this.client, &key, &condition).await
            {
                tracing::warn!(namespace = key.namespace, resource = key.name, %error, "condition not written");
            }
        });
    }
}
