//! `[self_probe]`: calls the public URL as the provider would. Off by default.

use std::time::Duration;

use crate::settings::prelude::*;

#[derive(Clone, Debug)]
pub struct SelfProbe {
    pub enabled: bool,
    /// Between two probes.
    pub interval: Duration,
    /// The authorities that are trusted; there if it is enabled and the public URL is https.
    pub tls: Option<Tls>,
}

settings! {
    ENABLED: bool = switch("self_probe.enabled",
        "the callback URLs under `public_url` are called as the provider would").example("true").wrong("1")
        .elsewhere("public_url = \"http://sms.example.com\"\n");
    INTERVAL: Duration = duration("self_probe.interval", |given| given.duration(SECOND..=DAY), "between two probes")
        .default("1m").example(r#""5m""#).wrong(r#""0s""#);
}

pub(crate) fn read(mut table: Table, public_url: Option<&str>) -> Result<SelfProbe, ConfigError> {
    let enabled = table.switched_on(&ENABLED)?;
    let interval = table.get(&INTERVAL)?;
    table.finish()?;
    let tls = match (&enabled, public_url) {
        (Some(enabled), None) => {
            let expected = "public_url, or SMSCOPE_PUBLIC_URL";
            return Err(enabled.wrong("there is no public_url", expected).beside_others());
        }
        (Some(enabled), Some(url)) if url.starts_with("https:") => Some(tls::trusting_the_system(enabled)?),
        _ => None,
    };
    Ok(SelfProbe { enabled: enabled.is_some(), interval, tls })
}
