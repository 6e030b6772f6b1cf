//! `--verify`: does the sidecar count what was sent?
//!
//! Two pages of its metrics, from before and after the run, are subtracted, and the difference compared with what follows from the
//! acknowledged webhooks. That is worked out by a small model of its own ([`model`]), which shares no code with the
//! sidecar's life cycle and ledger, so that an error there shows.

pub mod compare;
pub mod model;
pub mod page;

pub use compare::{Comparison, Difference};
pub use model::{Ends, Model};
pub use page::Page;
