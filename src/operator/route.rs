//! Where the master Service leads: by a selector, or by a slice of the operator's own.

use std::sync::Arc;

use k8s_openapi::api::{
    core::v1::{Endpoints, Service},
    discovery::v1::EndpointSlice,
};
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};

use super::{error::Error, observe::Observer};
use crate::{
    api::{RedisReplication, Routing},
    kubernetes::{
        apply,
        ownership::{Place, look_up},
    },
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
        let Some(slice) = self.observer.own_slice() else { return Ok(()) };
        self.write_endpoints(&slice, json!([])).await
    }

    async fn select(&self, to: &str) -> Result<(), Error> {
        let service = self.service()?;
        let mut selector = json!({ (names::POD_NAME_LABEL): to });
        // a merge patch would keep other keys of a selector that was edited by hand
        for key in self.observer.master_selector().into_keys().filter(|key| key != names::POD_NAME_LABEL) {
            selector[key] = Value::Null;
        }
        let (moved, ()) = tokio::join!(self.set_selector(&service, &selector), self.write_slice_ahead(to));
        moved?;
        if let Some(own) = self.observer.own_slice()
            && !self.observer.slices_of_controllers().is_empty()
        {
            self.delete_slice(&own).await?; // of another routing, and no longer needed
        }
        Ok(())
    }

    /// Writes into the master Service's slice what its controller is about to write: kube-proxy hears of it sooner. Should it be
    /// wrong, or not work, the controller puts it right.
    async fn write_slice_ahead(&self, to: &str) {
        let Some((slice, endpoint)) = self.observer.slice_ahead(to) else { return };
        if let Err(error) = self.write_endpoints(&slice, json!([endpoint])).await {
            tracing::debug!(slice = slice.name_any(), %error, "not written ahead of the controller");
        }
    }

    async fn write_slice(&self, to: &str) -> Result<(), Error> {
        let service = self.service()?;
        let owner = self.resource.controller_owner_ref(&()).ok_or_else(|| Error::NoService(service.name_any()))?;
        let pod = self.observer.pod(to);
        let slice =
            pod.and_then(|pod| endpoint_slice::to_master(&self.name(), &self.namespace(), Some(owner.clone()), &pod));
        let slice = slice.ok_or_else(|| Error::NoAddress(to.to_owned()))?;
        let place = match self.observer.own_slice() {
            Some(own) => Place::Ours { uid: own.uid().unwrap_or_default(), live: None },
            None => look_up(self.client, None, &self.namespace(), &slice.name_any(), &owner).await?,
        };
        apply::slice(self.client, &slice, &place).await?;
        let selected = !self.observer.master_selector().is_empty();
        if selected {
            self.set_selector(&service, &Value::Null).await?;
        }
        let others = self.observer.slices_of_controllers();
        if selected || !others.is_empty() {
            // no controller empties what it wrote for a selector that is gone, and one would copy the Endpoints into a slice
            apply::delete::<Endpoints>(self.client, &self.namespace(), &service.name_any(), None).await?;
        }
        for other in others {
            self.delete_slice(&other).await?;
        }
        Ok(())
    }

    async fn set_selector(&self, service: &Service, selector: &Value) -> Result<(), Error> {
        let (name, uid) = (service.name_any(), service.uid().unwrap_or_default());
        let body = json!({ "spec": { "selector": selector } });
        apply::merge::<Service>(self.client, &self.namespace(), &name, &uid, body).await?;
        Ok(())
    }

    async fn write_endpoints(&self, slice: &EndpointSlice, endpoints: Value) -> Result<(), Error> {
        let (name, uid) = (slice.name_any(), slice.uid().unwrap_or_default());
        let body = json!({ "endpoints": endpoints });
        apply::merge::<EndpointSlice>(self.client, &self.namespace(), &name, &uid, body).await?;
        Ok(())
    }

    async fn delete_slice(&self, slice: &EndpointSlice) -> Result<(), Error> {
        Ok(apply::delete::<EndpointSlice>(self.client, &self.namespace(), &slice.name_any(), slice.uid()).await?)
    }

    /// The master Service. One that another controls is as good as none.
    fn service(&self) -> Result<Arc<Service>, Error> {
        self.observer.master_service().ok_or_else(|| Error::NoService(names::master_service(&self.name())))
    }

    fn name(&self) -> String {
        self.resource.name_any()
    }

    fn namespace(&self) -> String {
        self.resource.namespace().unwrap_or_default()
    }
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
