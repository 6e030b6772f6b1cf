//! What is optional beside the sidecar's core. Nothing below knows a feature: one is removed with its folder here, its file in
//! `config/`, its function in `serve/background_jobs.rs` and its command. Of relays and resends, the outbox and the decisions are in
//! `store/core`, since they are part of the transaction that stores an event.

pub mod account;
pub mod connect;
pub mod probe;
pub mod reconcile;
pub mod relay;
pub mod reprocess;
pub mod resend;
pub mod simulate;
