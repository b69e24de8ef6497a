//! Where the master Service leads: by a selector, or by a slice of the operator's own.

use k8s_openapi::api::{
    core::v1::{Endpoints, Service},
    discovery::v1::EndpointSlice,
};
use kube::{Resource, ResourceExt};
use serde_json::json;

use super::{error::Error, observe::Observer};
use crate::{
    api::{RedisReplication, Routing},
    kubernetes::apply,
    objects::{endpoint_slice, names},
};

/// The master Service of one resource.
pub struct MasterService<'a> {
    pub client: &'a kube::Client,
    pub observer: &'a Observer,
    pub resource: &'a RedisReplication,
}

impl MasterService<'_> {
    /// Leads it to the pod `to`.
    pub async fn lead_to(&self, to: &str) -> Result<(), Error> {
        match self.resource.spec.master_routing() {
            Routing::Selector => self.select(to).await,
            Routing::EndpointSlice => self.write_slice(to).await,
        }
    }

    /// Takes the address out of the operator's own slice: its pod is gone, and may not be the only one to ever have it.
    pub async fn withdraw(&self) -> Result<(), Error> {
        let slice = names::master_slice(&self.name());
        apply::merge::<EndpointSlice>(self.client, &self.namespace(), &slice, &json!({ "endpoints": [] })).await?;
        Ok(())
    }

    async fn select(&self, to: &str) -> Result<(), Error> {
        let mut selector = json!({ (names::POD_NAME_LABEL): to });
        // a merge patch would keep other keys of a selector that was edited by hand
        for key in self.observer.master_selector().into_keys().filter(|key| key != names::POD_NAME_LABEL) {
            selector[key] = serde_json::Value::Null;
        }
        let (moved, ()) = tokio::join!(self.set_selector(&selector), self.write_slice_ahead(to));
        moved?;
        if self.observer.own_slice().is_some() && !self.observer.slices_of_controllers().is_empty() {
            self.delete_slice(&names::master_slice(&self.name())).await?; // of another routing, and no longer needed
        }
        Ok(())
    }

    /// Writes into the master Service's slice what its controller is about to write: kube-proxy hears of it sooner. Should it be
    /// wrong, or not work, the controller puts it right.
    async fn write_slice_ahead(&self, to: &str) {
        let Some((slice, endpoint)) = self.observer.slice_ahead(to) else { return };
        let body = json!({ "endpoints": [endpoint] });
        if let Err(error) = apply::merge::<EndpointSlice>(self.client, &self.namespace(), &slice, &body).await {
            tracing::debug!(slice, %error, "not written ahead of the controller");
        }
    }

    async fn write_slice(&self, to: &str) -> Result<(), Error> {
        let owner = self.resource.controller_owner_ref(&());
        let pod = self.observer.pod(to);
        let slice = pod.and_then(|pod| endpoint_slice::to_master(&self.name(), &self.namespace(), owner, &pod));
        let slice = slice.ok_or_else(|| Error::NoAddress(to.to_owned()))?;
        apply::slice(self.client, &slice).await?;
        let selected = !self.observer.master_selector().is_empty();
        if selected {
            self.set_selector(&serde_json::Value::Null).await?;
        }
        let others = self.observer.slices_of_controllers();
        if selected || !others.is_empty() {
            // no controller empties what it wrote for a selector that is gone, and one would copy the Endpoints into a slice
            apply::delete::<Endpoints>(self.client, &self.namespace(), &names::master_service(&self.name())).await?;
        }
        for other in others {
            self.delete_slice(&other).await?;
        }
        Ok(())
    }

    async fn set_selector(&self, selector: &serde_json::Value) -> Result<(), Error> {
        let service = names::master_service(&self.name());
        let body = json!({ "spec": { "selector": selector } });
        apply::merge::<Service>(self.client, &self.namespace(), &service, &body).await?;
        Ok(())
    }

    async fn delete_slice(&self, name: &str) -> Result<(), Error> {
        Ok(apply::delete::<EndpointSlice>(self.client, &self.namespace(), name).await?)
    }

    fn name(&self) -> String {
        self.resource.name_any()
    }

    fn namespace(&self) -> String {
        self.resource.namespace().unwrap_or_default()
    }
}
