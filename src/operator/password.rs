//! Where the password comes from: the given Secret, or the one that the operator makes. It is made up once, for a
//! replication that nobody has used yet; a lost one comes back as it was, or is asked for.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::{Api, Client, Resource, ResourceExt, api::PostParams};
use rand::{Rng, distr::Alphanumeric};

use super::advice::Place;
use crate::{
    api::{Reason, RedisReplication},
    kubernetes::{
        apply::{self, limited},
        ownership::{Stranger, judge},
    },
    objects::{self, Cluster, names},
    password::{Password, PasswordError},
};

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The given Secret does not exist.
    #[error("{}", .place.given_missing(.holder.as_deref()))]
    GivenMissing {
        /// Which.
        place: Place,
        /// A running pod that has the password.
        holder: Option<String>,
    },
    /// The Secret that the operator made is gone, and nobody here knows what it held.
    #[error("{}", .place.lost(.holder.as_deref()))]
    Lost {
        /// Which.
        place: Place,
        /// A running pod that has the password.
        holder: Option<String>,
    },
    /// The Secret has no such key.
    #[error("{}", .place.key_missing(*.known))]
    KeyMissing {
        /// Which.
        place: Place,
        /// The operator knows what it held.
        known: bool,
    },
    /// What is there is no password.
    #[error("{}", .place.unusable(*.error, *.known))]
    Unusable {
        /// Which.
        place: Place,
        /// Why not.
        error: PasswordError,
        /// The operator knows what it held.
        known: bool,
    },
    /// The Secret has the name of the one that the operator makes, and is not ours.
    #[error("{0} is not controlled by this RedisReplication")]
    Taken(Box<Stranger>),
    /// The Secret is missing, and is not to be made at the moment.
    #[error("{0} is not created yet")]
    Withheld(Place),
    /// The API server refused, or did not answer.
    #[error(transparent)]
    Api(#[from] apply::Error),
}

impl Error {
    /// For the status.
    pub fn reason(&self) -> Reason {
        match self {
            Self::GivenMissing { .. } | Self::Lost { .. } | Self::KeyMissing { .. } => Reason::SecretMissing,
            Self::Unusable { .. } => Reason::InvalidPassword,
            Self::Taken(_) => Reason::NameConflict,
            Self::Withheld(_) | Self::Api(_) => Reason::ApplyFailed,
        }
    }
}

/// What came of a look.
pub struct Found {
    /// The password.
    pub password: Password,
    /// Its Secret was gone, and is there again; in words.
    pub restored: Option<String>,
    /// A Secret that is not ours has come to the name of the one that the operator made.
    pub stranger: Option<Stranger>,
}

/// The password; a Secret that the operator makes is made if it is missing and there is a `maker`. `known` is what it held.
pub async fn find(
    resource: &RedisReplication,
    maker: Option<&Cluster>,
    client: &Client,
    pods: &[Arc<Pod>],
    known: Option<Password>,
) -> Result<Found, Error> {
    let place = Place::of(resource);
    let api: Api<Secret> = Api::namespaced(client.clone(), &place.namespace);
    let status = resource.status.as_ref();
    let holder = holder(pods, status.and_then(|status| status.master.as_deref()));
    let has_lived = holder.is_some() || status.is_some_and(|status| status.epoch > 0);
    if let Some(secret) = limited("read", "Secret", &place.secret, api.get_opt(&place.secret)).await? {
        let owner = resource.controller_owner_ref(&());
        let judged = owner.filter(|_| !place.given).map_or(Ok(()), |by| judge("Secret", secret.meta(), &by));
        let (password, stranger) = match (judged, known) {
            (Ok(()), known) => (read(&secret, place, known.is_some())?, None),
            // the members go on with what they were started with
            (Err(stranger), Some(known)) => (known, Some(stranger)),
            (Err(stranger), None) if has_lived => (read(&secret, place, false)?, Some(stranger)),
            (Err(stranger), None) => return Err(Error::Taken(Box::new(stranger))),
        };
        return Ok(Found { password, restored: None, stranger });
    }
    let restored = known.is_some().then(|| format!("{place} was deleted; it is there again, with the same password"));
    let password = match known {
        _ if place.given => return Err(Error::GivenMissing { place, holder }),
        Some(password) => password,
        None if has_lived => return Err(Error::Lost { place, holder }),
        None => Password::made_up(|| rand::rng().sample(Alphanumeric).into()),
    };
    let Some(cluster) = maker else { return Err(Error::Withheld(place)) };
    // where another was quicker, what it made is read at the next look
    let secret = objects::generated_secret(cluster, password.text());
    limited("create", "Secret", &place.secret, api.create(&PostParams::default(), &secret)).await?;
    Ok(Found { password, restored, stranger: None })
}

fn read(secret: &Secret, place: Place, known: bool) -> Result<Password, Error> {
    match secret.data.as_ref().and_then(|data| data.get(&place.key)) {
        Some(value) => Password::read(&value.0).map_err(|error| Error::Unusable { place, error, known }),
        None => Err(Error::KeyMissing { place, known }),
    }
}

/// A pod whose Redis runs with the password: the master's, where that is one.
fn holder(pods: &[Arc<Pod>], master: Option<&str>) -> Option<String> {
    let runs = |pod: &&Arc<Pod>| {
        let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
        let redis = statuses.and_then(|all| all.iter().find(|c| c.name == names::REDIS_CONTAINER));
        redis.and_then(|c| c.state.as_ref()).is_some_and(|state| state.running.is_some())
    };
    let names = pods.iter().filter(runs).map(|pod| pod.name_any());
    names.min_by_key(|name| (Some(name.as_str()) != master, name.clone()))
}

#[cfg(test)]
#[path = "password_tests.rs"]
mod tests;
