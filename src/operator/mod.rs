//! Where the pieces meet: watches, one supervisor for each resource, the controller that applies objects, the lease, and
//! metrics.

mod act;
mod advice;
mod announce;
mod announce_steps;
mod causes;
mod changes;
mod cluster;
mod conflict;
mod containers;
mod context;
mod controller;
mod error;
mod eviction;
mod holdings;
mod ignored;
mod isolation;
mod last_words;
mod leftovers;
mod metrics;
mod missing_pods;
mod observe;
mod password;
mod pods;
mod questions;
mod registry;
mod route;
mod run;
mod servers;
mod site;
mod slices;
mod status;
mod supervisor;
mod told;
mod trace;
mod trouble;

pub use metrics::Metrics;
pub use run::{RunArgs, run};
