//! The writes to Kubernetes that a plan asks for.

use k8s_openapi::api::core::v1::Pod as KubePod;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Preconditions},
};
use serde_json::json;

use super::{act::Ports, error::Error, route::MasterService};
use crate::{
    api::{RedisReplication, RequestKind},
    kubernetes::apply::{self, limited},
    objects::names,
    replication::{Change, Cluster, Record, RoleLabel},
};

impl Cluster for Ports<'_> {
    type Error = Error;
    type Written = Box<RedisReplication>;

    async fn write_record(&self, next: &Record, changes: &[Change]) -> Result<Self::Written, Error> {
        Ok(Box::new(self.record(next, changes).await?))
    }

    async fn route(&self, to: &str) -> Result<(), Error> {
        let service = MasterService { client: &self.ctx.client, observer: self.observer, resource: self.resource };
        service.lead_to(to).await
    }

    async fn label(&self, member: &str, uid: &str, role: RoleLabel) -> Result<(), Error> {
        let value = match role {
            RoleLabel::Master => names::ROLE_MASTER,
            RoleLabel::Replica => names::ROLE_REPLICA,
            RoleLabel::Stale => names::ROLE_STALE,
        };
        let mut labels = names::labels(&self.resource.name_any()); // one that was changed by hand as well
        labels.insert(names::ROLE_LABEL.into(), value.into());
        let body = json!({ "metadata": { "labels": labels } });
        apply::merge::<KubePod>(&self.ctx.client, &self.namespace(), member, uid, body).await?;
        Ok(())
    }

    async fn delete_pod(&self, member: &str, uid: &str, grace: Option<u32>) -> Result<(), Error> {
        let this_one = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let params =
            DeleteParams { grace_period_seconds: grace, preconditions: Some(this_one), ..DeleteParams::default() };
        let api: Api<KubePod> = Api::namespaced(self.ctx.client.clone(), &self.namespace());
        match limited("delete", "Pod", member, api.delete(member, &params)).await {
            Err(error) if !error.is_gone() => Err(error.into()),
            _ => Ok(()),
        }
    }

    async fn resolve_request(&self, request: RequestKind) -> Result<Self::Written, Error> {
        let body = json!({ "metadata": { "annotations": { (request.annotation()): null } } });
        Ok(Box::new(apply::amend(&self.ctx.client, self.resource, &body).await?))
    }
}

impl Ports<'_> {
    pub(super) fn namespace(&self) -> String {
        self.resource.namespace().unwrap_or_default()
    }
}
