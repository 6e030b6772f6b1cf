//! What stands in the repository beside the code agrees with it and is accepted by the programs that it is meant for: documents,
//! settings, alerts, dashboards, deployment files.

mod alerts;
mod dashboards;
mod deploy;
mod documents;
mod grafana;
mod reference;
mod store;
#[path = "../support/mod.rs"]
mod support;
