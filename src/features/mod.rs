//! What is optional beside the sidecar's core. No feature knows another, and nothing of the core knows one; docs/architecture.md says
//! how one is removed. Of relays and resends, the outbox and the decisions are in `store/core`, since they are part of the transaction
//! that stores an event.

pub mod account;
pub mod connect;
pub mod conversations;
pub mod opt_outs;
pub mod probe;
pub mod reconcile;
pub mod relay;
pub mod reprocess;
pub mod resend;
pub mod simulate;
