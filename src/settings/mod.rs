//! Settings: how one is declared and read, and those of the core, one file per table.
//!
//! Flag over environment over file over default. Files that hold secrets or certificates are read here; nothing is bound or written. A
//! setting that cannot be used is one line: the name under which it was given, its value (never a secret's), and what is expected. An
//! optional part has its settings in its own folder; `src/config/` reads all of them.

pub(crate) mod admin;
pub(crate) mod api;
mod certificate;
pub(crate) mod credentials;
pub(crate) mod error;
mod file;
pub(crate) mod filter;
mod given;
pub(crate) mod headers;
pub(crate) mod http;
pub(crate) mod inputs;
mod likely;
pub(crate) mod listen;
mod listener_tls;
pub(crate) mod otlp;
pub(crate) mod postgres;
pub(crate) mod prelude;
pub(crate) mod privacy;
pub(crate) mod proxy;
mod setting;
pub(crate) mod source;
pub(crate) mod store;
pub(crate) mod tls;
pub(crate) mod value;

pub use admin::Admin;
pub use api::{Api, ApiMode};
pub use certificate::Validity;
pub use credentials::Basic;
pub use error::ConfigError;
pub use headers::METADATA_BASE64;
pub use http::Http;
pub use inputs::{Flags, Line};
pub use listener_tls::{ClientCertificates, Identity, ListenerTls};
pub use otlp::{Endpoint, Otlp, Protocol};
pub use postgres::{Durability, Postgres};
pub use privacy::{Privacy, Recipient, Text};
pub use proxy::Proxy;
pub use setting::Declaration;
pub use source::{Source, Tokens};
pub use store::Store;
pub use tls::{Tls, authorities};
pub use value::{duration, show_duration, show_size};
