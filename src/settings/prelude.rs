//! What the file of a table needs for declaring its settings and reading them.

pub(crate) use super::ConfigError;
pub(crate) use super::file::Table;
pub(crate) use super::given::Given;
pub(crate) use super::headers;
pub(crate) use super::inputs::{self, Inputs};
pub(crate) use super::proxy::{Proxies, Proxy, by_way_of};
pub(crate) use super::setting::*;
pub(crate) use super::tls::{self, SystemRoots, Tls};
pub(crate) use super::value::{self, DAY, HOUR, MILLISECOND, SECOND, show_duration};
pub(crate) use crate::secret::Secret;
