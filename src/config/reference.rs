//! Every setting there is: what docs/configuration.md and the manual page are made of.

use crate::features::{account, conversations, opt_outs, probe, reconcile, relay, resend};
pub use crate::settings::Declaration;
use crate::settings::{admin, api, http, inputs, listen, otlp, postgres, privacy, proxy, source, store};

/// The settings of each part, in the order of the documentation.
static PARTS: [&[&Declaration]; 17] = [
    listen::SETTINGS,
    http::SETTINGS,
    admin::SETTINGS,
    store::SETTINGS,
    postgres::SETTINGS,
    privacy::SETTINGS,
    source::SETTINGS,
    api::SETTINGS,
    account::settings::SETTINGS,
    probe::settings::SETTINGS,
    reconcile::settings::SETTINGS,
    otlp::SETTINGS,
    proxy::SETTINGS,
    opt_outs::settings::SETTINGS,
    conversations::SETTINGS,
    relay::settings::SETTINGS,
    resend::settings::SETTINGS,
];

/// All settings, those of one table together.
pub fn settings() -> impl Iterator<Item = &'static Declaration> {
    let unsupported = otlp::UNSUPPORTED.into_iter().flatten().map(|unsupported| &unsupported.setting.declaration);
    PARTS.iter().flat_map(|part| part.iter().copied()).chain(unsupported)
}

/// The environment variables that are smscope's own, in alphabetical order.
pub fn variables() -> Vec<&'static str> {
    inputs::own_variables(settings())
}
