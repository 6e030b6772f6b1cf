//! `[conversations]`: matches a reply to the message it answers by refClient and number as well. Off by default.

use std::time::Duration;

use crate::settings::prelude::*;

settings! {
    ENABLED: bool = switch("conversations.enabled",
        "a reply is matched to the message it answers by refClient and number as well").example("true")
        .wrong(r#""yes""#);
    WINDOW: Duration = duration("conversations.window", |given| given.duration(SECOND..=30 * DAY),
        "how long the last message to a number may be answered without being named").default("3d").example(r#""12h""#)
        .wrong(r#""60d""#).beside("enabled = true");
}

/// How long a number's last message may be answered without being named; `None`: off.
pub(crate) fn read(mut table: Table) -> Result<Option<Duration>, ConfigError> {
    let (enabled, window) = (table.get(&ENABLED)?, table.get(&WINDOW)?);
    table.finish()?;
    Ok(enabled.then_some(window))
}
