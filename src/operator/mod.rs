//! Where the pieces meet: watches, one supervisor for each resource, the controller that applies objects, the lease, and
//! metrics.

mod absence;
mod act;
mod advice;
mod announce;
mod causes;
mod changes;
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
mod observe;
mod password;
mod pods;
mod questions;
mod registry;
mod route;
mod run;
mod site;
mod slices;
mod status;
mod supervisor;
mod told;
mod trace;
mod trouble;

pub use metrics::Metrics;
pub use run::{RunArgs, run};
