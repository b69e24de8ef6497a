//! The names that a replication needs, and what is under them. All are looked at before anything is made: with one of them taken
//! nothing is, so that no traffic is led anywhere and no pod starts on what belongs to others.

use std::fmt::Debug;

use k8s_openapi::{
    api::{
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service},
        discovery::v1::EndpointSlice,
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Client, Resource, ResourceExt, core::NamespaceResourceScope, runtime::reflector::ObjectRef};
use serde::de::DeserializeOwned;

use super::{holdings, observe::Stores};
use crate::{
    api::Routing,
    kubernetes::{
        apply::{Error, ensure},
        owned::Owned,
        ownership::{Holder, Place, Stranger, controller, is_controlled_by, look_up, metadata},
    },
    objects::{Cluster, Objects, names},
};

/// What is under the names of one replication.
pub struct Site<'a> {
    client: &'a Client,
    cluster: &'a Cluster,
    wanted: &'a Objects,
    scripts: Place<ConfigMap>,
    settings: Place<ConfigMap>,
    headless_service: Place<Service>,
    master_service: Place<Service>,
    replicas_service: Place<Service>,
    pod_disruption_budget: Place<PodDisruptionBudget>,
    stateful_set: Place<StatefulSet>,
    /// In the way, though the operator itself does not write them here.
    others: Vec<Stranger>,
}

impl<'a> Site<'a> {
    /// Looks at all names. `known` is what the watches have seen; without it the API server is asked about each.
    pub async fn survey(
        client: &'a Client,
        known: Option<&Stores>,
        cluster: &'a Cluster,
        wanted: &'a Objects,
    ) -> Result<Self, Error> {
        let Objects { scripts, settings, headless_service, master_service, replicas_service, .. } = wanted;
        let Objects { pod_disruption_budget, stateful_set, .. } = wanted;
        let survey = Survey { client, known, cluster };
        let config_maps = known.map(|known| &known.config_maps);
        let services = known.map(|known| &known.services);
        let (
            scripts,
            settings,
            headless_service,
            master_service,
            replicas_service,
            pod_disruption_budget,
            stateful_set,
            slice,
        ) = tokio::try_join!(
            Box::pin(survey.place(config_maps, scripts)),
            Box::pin(survey.place(config_maps, settings)),
            Box::pin(survey.place(services, headless_service)),
            Box::pin(survey.place(services, master_service)),
            Box::pin(survey.place(services, replicas_service)),
            Box::pin(survey.place(known.map(|known| &known.budgets), pod_disruption_budget)),
            Box::pin(survey.place(known.map(|known| &known.stateful_sets), stateful_set)),
            Box::pin(survey.slice()),
        )?;
        let mut others: Vec<_> = slice.into_iter().collect();
        for ordinal in new_ordinals(&stateful_set, wanted, &cluster.owner.uid) {
            let pod = names::pod(&cluster.name, ordinal);
            others.extend(survey.pod(&pod).await?);
            if cluster.spec.persistence.is_some() {
                others.extend(survey.claim(&pod).await?);
            }
        }
        Ok(Self {
            client,
            cluster,
            wanted,
            scripts,
            settings,
            headless_service,
            master_service,
            replicas_service,
            pod_disruption_budget,
            stateful_set,
            others,
        })
    }

    /// All that is not ours.
    pub fn strangers(&self) -> Vec<Stranger> {
        let objects = [
            self.scripts.stranger(),
            self.settings.stranger(),
            self.headless_service.stranger(),
            self.master_service.stranger(),
            self.replicas_service.stranger(),
            self.pod_disruption_budget.stranger(),
            self.stateful_set.stranger(),
        ];
        let mut all: Vec<_> = objects.into_iter().flatten().chain(&self.others).cloned().collect();
        all.sort(); // the status must not change by itself
        all
    }

    /// Makes the objects what they should be; returns those that were written.
    pub async fn build(&self) -> Result<Vec<&'static str>, Error> {
        let (client, namespace, wanted) = (self.client, self.cluster.namespace.as_str(), self.wanted);
        let mut written = Vec::new();
        let mut note = |kind: &'static str, was_written: bool| {
            if was_written {
                written.push(kind);
            }
        };
        note("scripts", ensure(client, namespace, &wanted.scripts, &self.scripts).await?);
        note("settings", ensure(client, namespace, &wanted.settings, &self.settings).await?);
        note("headless Service", ensure(client, namespace, &wanted.headless_service, &self.headless_service).await?);
        note("master Service", ensure(client, namespace, &wanted.master_service, &self.master_service).await?);
        note("replicas Service", ensure(client, namespace, &wanted.replicas_service, &self.replicas_service).await?);
        let budget = ensure(client, namespace, &wanted.pod_disruption_budget, &self.pod_disruption_budget);
        note("PodDisruptionBudget", budget.await?);
        note("StatefulSet", ensure(client, namespace, &wanted.stateful_set, &self.stateful_set).await?);
        Ok(written)
    }
}

/// The pods that the `StatefulSet` is about to make. Those that it has are its own business.
fn new_ordinals(place: &Place<StatefulSet>, wanted: &Objects, owner: &str) -> std::ops::Range<i32> {
    let replicas = |set: &StatefulSet| set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(0);
    let made = match place {
        Place::Ours { live: Some(live), .. } if is_controlled_by(live.meta(), owner) => replicas(live),
        _ => 0,
    };
    made..replicas(&wanted.stateful_set)
}

struct Survey<'a> {
    client: &'a Client,
    known: Option<&'a Stores>,
    cluster: &'a Cluster,
}

impl Survey<'_> {
    async fn place<K>(&self, known: Option<&Owned<K>>, wanted: &K) -> Result<Place<K>, Error>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + DeserializeOwned + Clone + Debug,
    {
        let Cluster { namespace, owner, .. } = self.cluster;
        look_up(self.client, known, namespace, &wanted.name_any(), owner).await
    }

    /// The slice, where the operator is to write it.
    async fn slice(&self) -> Result<Option<Stranger>, Error> {
        let Cluster { name, namespace, owner, spec, .. } = self.cluster;
        if spec.master_routing() != Routing::EndpointSlice {
            return Ok(None);
        }
        let known = self.known.map(|known| &known.slices);
        let place: Place<EndpointSlice> =
            look_up(self.client, known, namespace, &names::master_slice(name), owner).await?;
        Ok(place.stranger().cloned())
    }

    async fn meta<K>(&self, known: Option<&Owned<K>>, name: &str) -> Result<Option<ObjectMeta>, Error>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + DeserializeOwned + Clone + Debug,
    {
        let namespace = &self.cluster.namespace;
        match known.and_then(|known| known.get(&ObjectRef::new(name).within(namespace))) {
            Some(seen) => Ok(Some(seen.meta().clone())),
            None => metadata::<K>(self.client, namespace, name).await,
        }
    }

    /// A pod under a member's name that the `StatefulSet` could neither make nor adopt.
    async fn pod(&self, name: &str) -> Result<Option<Stranger>, Error> {
        let found = self.meta::<Pod>(self.known.map(|known| &known.pods), name).await?;
        Ok(found.and_then(|meta| {
            let labels = meta.labels.clone().unwrap_or_default();
            let adoptable = names::carries(&labels, &names::stateful_set_selector(&self.cluster.name));
            (!adoptable || !holdings::is_of_set(&meta, &names::stateful_set(&self.cluster.name)))
                .then(|| stranger::<Pod>(&meta))
        }))
    }

    /// A claim under the name of a member's that is not labelled as one: the `StatefulSet` would mount it by its name alone.
    async fn claim(&self, pod: &str) -> Result<Option<Stranger>, Error> {
        let name = format!("{}-{pod}", names::DATA_VOLUME);
        let found = self.meta::<PersistentVolumeClaim>(self.known.map(|known| &known.claims), &name).await?;
        let set = names::stateful_set(&self.cluster.name);
        Ok(found.and_then(|meta| {
            let labels = meta.labels.clone().unwrap_or_default();
            // retention policies make the pod or the set its owner
            let kept = controller(&meta).is_none_or(|by| match by.kind.as_str() {
                "StatefulSet" => by.name == set,
                "Pod" => by.name == pod,
                _ => false,
            });
            (!names::is_claim_of(&labels, &self.cluster.name) || !kept)
                .then(|| stranger::<PersistentVolumeClaim>(&meta))
        }))
    }
}

fn stranger<K: Resource<DynamicType = ()>>(meta: &ObjectMeta) -> Stranger {
    let holder = controller(meta).map(|by| Holder::Controller(format!("{} {}", by.kind, by.name)));
    Stranger::new(&K::kind(&()), meta, holder.unwrap_or(Holder::Nobody))
}

#[cfg(test)]
#[path = "site_tests.rs"]
mod tests;
