//! Every setting there is: what docs/configuration.md and the manual page are made of.

pub use super::setting::Declaration;
use super::{
    account, admin, api, conversations, http, listen, opt_outs, otlp, privacy, proxy, reconcile, relay, resend,
    self_probe, source, store,
};

/// The settings of each part, in the order of the documentation.
static PARTS: [&[&Declaration]; 16] = [
    listen::SETTINGS,
    http::SETTINGS,
    admin::SETTINGS,
    store::SETTINGS,
    privacy::SETTINGS,
    source::SETTINGS,
    api::SETTINGS,
    account::SETTINGS,
    self_probe::SETTINGS,
    reconcile::SETTINGS,
    otlp::SETTINGS,
    proxy::SETTINGS,
    opt_outs::SETTINGS,
    conversations::SETTINGS,
    relay::SETTINGS,
    resend::SETTINGS,
];

/// All settings, those of one table together.
pub fn settings() -> impl Iterator<Item = &'static Declaration> {
    let unsupported = otlp::UNSUPPORTED.into_iter().flatten().map(|unsupported| &unsupported.setting.declaration);
    PARTS.iter().flat_map(|part| part.iter().copied()).chain(unsupported)
}
