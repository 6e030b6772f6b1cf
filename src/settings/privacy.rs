//! `[privacy]`: how personal data is stored and exported; each source may override it.

use strum::{IntoStaticStr, VariantArray};

use super::prelude::*;

/// How the personal data of a source is stored and exported. Little unless the operator enables more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Privacy {
    pub recipient: Recipient,
    pub text: Text,
}

/// How a number is exported; the store has it in full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Recipient {
    /// Masked, and hashed.
    #[default]
    Masked,
    /// Hashed, without any of its digits.
    Hashed,
    /// In full, besides masked and hashed.
    Plain,
}

/// What becomes of message texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Text {
    /// Removed before anything is written.
    Dropped,
    /// In the store alone.
    #[default]
    Stored,
    /// In the store, and in log records.
    Exported,
}

settings! {
    RECIPIENT: Recipient = word("privacy.recipient",
        "how numbers leave smscope: `masked` and hashed; `hashed`, without any of their digits, on the page too; or \
         `plain`, where log records have the full number as well, as `sms.recipient.number`").default("masked")
        .example(r#""hashed""#).wrong(r#""hidden""#);
    TEXT: Text = word("privacy.text",
        "message texts: `dropped` before anything is written, `stored`, in the store alone, or `exported` in log \
         records too, as `sms.text`").default("stored").example(r#""dropped""#).wrong("true");
}

/// The defaults of sources, and their origins.
pub(crate) struct ForAll {
    pub privacy: Privacy,
    recipient: Option<Given>,
    text: Option<Given>,
}

pub(crate) fn read(mut table: Table) -> Result<ForAll, ConfigError> {
    let (recipient, text) = (table.take(&RECIPIENT), table.take(&TEXT));
    let privacy =
        Privacy { recipient: table.read(&RECIPIENT, recipient.as_ref())?, text: table.read(&TEXT, text.as_ref())? };
    table.finish()?;
    Ok(ForAll { privacy, recipient, text })
}

/// The privacy of a source: its own settings, else those for all.
pub(crate) fn of_source(
    table: &mut Table,
    recipient: &Setting<Recipient>,
    text: &Setting<Text>,
    for_all: &ForAll,
) -> Result<Privacy, ConfigError> {
    let own_recipient = table.take(recipient).or_else(|| for_all.recipient.clone());
    let own_text = table.take(text).or_else(|| for_all.text.clone());
    // Where none is given, the settings for all have the default. The names are the same.
    Ok(Privacy {
        recipient: table.read(&RECIPIENT, own_recipient.as_ref())?,
        text: table.read(&TEXT, own_text.as_ref())?,
    })
}
