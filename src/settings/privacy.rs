//! `[privacy]`: what may be known of the people whom sources write to; each source may say something else.

use super::prelude::*;

/// What may be known of the people whom a source writes to. Little unless the operator asked for more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Privacy {
    pub recipient: Recipient,
    pub text: Text,
}

/// How a number leaves smscope; the store has it in full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Text {
    /// Taken out before anything is written.
    Dropped,
    /// In the store alone.
    #[default]
    Stored,
    /// In the store, and in log records.
    Exported,
}

impl Recipient {
    pub const ALL: [Self; 3] = [Self::Masked, Self::Hashed, Self::Plain];

    /// As the configuration has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Masked => "masked",
            Self::Hashed => "hashed",
            Self::Plain => "plain",
        }
    }
}

impl Text {
    pub const ALL: [Self; 3] = [Self::Dropped, Self::Stored, Self::Exported];

    /// As the configuration has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Stored => "stored",
            Self::Exported => "exported",
        }
    }
}

settings! {
    RECIPIENT: Recipient = recipient("privacy.recipient",
        "how numbers leave smscope: `masked` and hashed; `hashed`, without any of their digits, on the page too; or \
         `plain`, where log records have the full number as well, as `sms.recipient.number`").default("masked")
        .example(r#""hashed""#).wrong(r#""hidden""#);
    TEXT: Text = text("privacy.text",
        "message texts: `dropped` before anything is written, `stored`, in the store alone, or `exported` in log \
         records too, as `sms.text`").default("stored").example(r#""dropped""#).wrong("true");
}

pub(crate) const fn recipient(key: &'static str, meaning: &'static str) -> Setting<Recipient> {
    let read = |given: &Given| given.word("masked, hashed or plain", &Recipient::ALL, Recipient::as_str);
    setting(key, "word", read, |recipient| recipient.as_str().to_owned(), meaning)
}

pub(crate) const fn text(key: &'static str, meaning: &'static str) -> Setting<Text> {
    let read = |given: &Given| given.word("dropped, stored or exported", &Text::ALL, Text::as_str);
    setting(key, "word", read, |text| text.as_str().to_owned(), meaning)
}

/// What holds for the sources that say nothing else, and where it came from.
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

/// What holds for a source, by settings of its own or by those for all.
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
