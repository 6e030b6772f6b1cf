//! What the file of a table needs for declaring its settings and reading them.

pub(in crate::config) use super::ConfigError;
pub(in crate::config) use super::file::Table;
pub(in crate::config) use super::given::Given;
pub(in crate::config) use super::inputs::{self, Inputs};
pub(in crate::config) use super::proxy::{Proxies, Proxy, by_way_of};
pub(in crate::config) use super::setting::*;
pub(in crate::config) use super::tls::{self, SystemRoots, Tls};
pub(in crate::config) use super::value::{self, DAY, HOUR, MILLISECOND, SECOND, show_duration};
pub(in crate::config) use crate::secret::Secret;
