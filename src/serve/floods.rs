//! The log line about recipients that get too many messages.

use std::sync::Arc;

use crate::config::Config;
use crate::settings::Recipient;
use crate::store::{Flood, FloodRule};
use crate::telemetry::redaction::{PrivacyPolicy, mask};

pub fn flood_rule(config: &Config) -> FloodRule {
    let policy = super::exports::privacy_policy(config);
    let messages = config.recipient_flood;
    let report = Arc::new(move |flood: &Flood| {
        let Flood { source, floods, .. } = flood;
        let last = shown(&policy, flood);
        tracing::warn!(floods, messages, %source, last, "recipients get too many messages within an hour");
    });
    FloodRule { messages, report }
}

fn shown(policy: &PrivacyPolicy, flood: &Flood) -> String {
    match policy.of(&flood.source).recipient {
        Recipient::Hashed => "not shown (privacy.recipient)".to_owned(),
        Recipient::Masked | Recipient::Plain => mask(&flood.number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::SourceName;
    use crate::settings::Privacy;

    #[test]
    fn the_number_is_masked_and_not_shown_at_all_where_no_digits_may_be() {
        for (recipient, expected) in [
            (Recipient::Masked, "+336•••••678"),
            (Recipient::Plain, "+336•••••678"),
            (Recipient::Hashed, "not shown (privacy.recipient)"),
        ] {
            let source = SourceName::new("smsmode").unwrap();
            let privacy = Privacy { recipient, ..Privacy::default() };
            let policy = PrivacyPolicy::from_iter([(source.clone(), privacy)]);
            let flood = Flood { source, number: "33612345678".into(), floods: 1 };
            assert_eq!(shown(&policy, &flood), expected);
        }
    }
}
