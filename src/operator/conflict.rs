//! Names that are taken: what to say of them.

use std::fmt;

use kube::{Resource, ResourceExt};

use crate::{api::RedisReplication, kubernetes::ownership::Stranger, objects::names};

/// Objects that have names of ours and are not ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Conflict {
    /// Which; never empty.
    pub strangers: Vec<Stranger>,
    namespace: String,
    resource: String,
    /// There has been a master.
    runs: bool,
}

impl Conflict {
    /// In the way of this resource.
    pub fn of(resource: &RedisReplication, strangers: Vec<Stranger>) -> Self {
        let (namespace, name) = (resource.namespace().unwrap_or_default(), resource.name_any());
        let runs = resource.status.as_ref().is_some_and(|status| status.epoch > 0);
        Self { strangers, namespace, resource: name, runs }
    }

    /// Does it end without help?
    pub fn is_passing(&self) -> bool {
        self.strangers.iter().all(Stranger::is_being_removed)
    }

    fn has(&self, kind: &str) -> bool {
        self.strangers.iter().any(|stranger| stranger.kind == kind)
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { strangers, namespace, resource, runs } = self;
        let list = strangers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let kind = RedisReplication::kind(&());
        let waits =
            if *runs { "no object is changed until then; failover goes on" } else { "nothing is created until then" };
        if self.is_passing() {
            return write!(f, "waiting until Kubernetes has removed what belongs to a deleted {kind}: {list}; {waits}");
        }
        write!(
            f,
            "this {kind} needs the names of objects that it does not control: {list}. They are left as they are. Delete or rename \
             them, or create the {kind} under another name; {waits}"
        )?;
        if self.has("Secret") {
            let secret = names::generated_auth_secret(resource);
            write!(f, ". To use the password in the Secret: set spec.auth.secretName to {secret}")?;
        }
        if self.has("PersistentVolumeClaim") {
            let claims = strangers.iter().filter(|s| s.kind == "PersistentVolumeClaim").map(|s| s.name.as_str());
            let claims = claims.collect::<Vec<_>>().join(" ");
            let labels = names::joined(&names::claim_labels(resource), " ");
            write!(
                f,
                ". To start with the data on the volume: kubectl -n {namespace} label --overwrite pvc {claims} {labels}"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;
    use crate::kubernetes::ownership::Holder;

    fn said(epoch: i64, strangers: &[(&str, &str, Holder)]) -> String {
        let resource: RedisReplication = serde_json::from_value(json!({
            "apiVersion": "redis.replication.dev/v1alpha1", "kind": "RedisReplication",
            "metadata": { "name": "shop", "namespace": "web" }, "spec": {}, "status": { "epoch": epoch },
        }))
        .unwrap();
        let strangers = strangers.iter().map(|(kind, name, holder)| Stranger {
            kind: (*kind).into(),
            name: (*name).into(),
            uid: "u".into(),
            holder: holder.clone(),
        });
        Conflict::of(&resource, strangers.collect()).to_string()
    }

    #[test]
    fn all_are_named_and_what_to_do() {
        let deployment = Holder::Controller("Deployment web".into());
        let words = said(0, &[("Service", "shop-master", Holder::Nobody), ("ConfigMap", "shop-config", deployment)]);
        assert_eq!(
            words,
            "this RedisReplication needs the names of objects that it does not control: Service shop-master, ConfigMap \
             shop-config (controlled by Deployment web). They are left as they are. Delete or rename them, or create the \
             RedisReplication under another name; nothing is created until then"
        );
    }

    #[test]
    fn a_running_one_is_said_to_go_on() {
        assert!(said(3, &[("Service", "shop-master", Holder::Nobody)]).ends_with("until then; failover goes on"));
    }

    #[test]
    fn what_is_being_removed_is_waited_for() {
        let predecessor = || Holder::Predecessor("RedisReplication shop".into());
        let words = said(0, &[("Service", "shop-master", predecessor())]);
        assert!(words.starts_with("waiting until Kubernetes has removed") && !words.contains("Delete"), "{words}");
        let both = said(0, &[("Service", "shop-master", predecessor()), ("Secret", "shop-auth", Holder::Nobody)]);
        assert!(both.contains("Delete or rename"), "{both}");
    }

    #[test]
    fn secrets_and_claims_can_be_taken_over() {
        let words = said(0, &[("Secret", "shop-auth", Holder::Nobody)]);
        assert!(words.ends_with("set spec.auth.secretName to shop-auth"), "{words}");
        let words = said(
            0,
            &[
                ("PersistentVolumeClaim", "data-shop-0", Holder::Nobody),
                ("PersistentVolumeClaim", "data-shop-1", Holder::Nobody),
            ],
        );
        assert!(
            words.contains("kubectl -n web label --overwrite pvc data-shop-0 data-shop-1 app.kubernetes.io/"),
            "{words}"
        );
    }
}
