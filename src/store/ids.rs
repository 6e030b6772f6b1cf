//! The store's own numbers. Each has a type of its own, so that the compiler tells them apart.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

ids! {
    /// A message's row. Grows with first sight, never used twice. The provider's id of a message is a text, `message_id`.
    MessageRowId;
    /// A delivery of a relay, as `smscope relay` shows it. Grows with the event's position.
    DeliveryId;
    /// A resend.
    ResendId;
    /// A change of the list of opt-outs: its place in the order of changes, never used twice.
    OptOutSeq;
    /// Tells apart the receipts of one message: a hash of status, detail and time (`core/records.rs`).
    ReceiptKey;
    /// Deliveries of one relay with the same ordering key are made one after the other.
    OrderingKey;
    /// A keyed hash under which something personal is found ([`super::core::Pseudonymizer::key`]).
    KeyedHash;
}
