//! Configures the provider: the channels' default callback URLs, as they are and as they should be.
//!
//! It does not print or ask for confirmation; `src/commands/connect.rs` does.

mod shown;
mod undo;

use serde::{Deserialize, Serialize};

use crate::event::SourceName;
use crate::smsmode_api::{ApiError, Callbacks, Channel, SmsmodeApi};

pub use shown::shown;
pub use undo::Undo;

/// One channel, and its callback URLs before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub source: SourceName,
    pub organisation: String,
    pub channel: String,
    pub name: Option<String>,
    pub before: Callbacks,
    pub after: Callbacks,
}

impl Change {
    /// Whether there is anything to do.
    pub fn changes(&self) -> bool {
        self.before != self.after
    }

    /// The change that undoes it.
    pub fn reverse(self) -> Self {
        Self { before: self.after, after: self.before, ..self }
    }
}

/// Why the channels of a source cannot be connected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("channel {0}: the API key sees no such channel; expected one of its own")]
    NoSuchChannel(String),
    #[error("the API key sees no channel")]
    NoChannel,
    #[error("channel {0}: its organisation is not known")]
    NoOrganisation(String),
    #[error(
        "channel {0}: the provider accepted the request, but its callback URLs are not the requested ones; check them in its console"
    )]
    NotTaken(String),
}

/// The changes after which the channels of `api`, or those in `only`, call `url`.
///
/// # Errors
/// An API error, or a channel that does not exist.
pub async fn plan(
    source: &SourceName,
    api: &SmsmodeApi,
    url: &str,
    only: &[String],
) -> Result<Vec<Change>, ConnectError> {
    let all = api.channels().await?;
    if let Some(missing) = only.iter().find(|id| all.iter().all(|channel| channel.id != **id)) {
        return Err(ConnectError::NoSuchChannel(missing.clone()));
    }
    let listed: Vec<Channel> =
        all.into_iter().filter(|channel| only.is_empty() || only.contains(&channel.id)).collect();
    if listed.is_empty() {
        return Err(ConnectError::NoChannel);
    }
    // For a channel without an organisation: a key belongs to one organisation.
    let mut only_organisation = None;
    if listed.iter().any(|channel| channel.organisation.is_none()) {
        let mut organisations = api.organisations().await?;
        only_organisation = match organisations.len() {
            1 => organisations.pop().and_then(|organisation| organisation.id),
            _ => None,
        };
    }
    let mut changes = Vec::with_capacity(listed.len());
    for channel in listed {
        let organisation = channel.organisation.clone().or_else(|| only_organisation.clone());
        let organisation = organisation.ok_or_else(|| ConnectError::NoOrganisation(channel.id.clone()))?;
        // The list may have fewer fields than the channel itself.
        let channel = api.channel(&organisation, &channel.id).await?;
        let url = Some(url.to_owned());
        changes.push(Change {
            source: source.clone(),
            organisation,
            channel: channel.id,
            name: channel.name,
            before: channel.callbacks,
            after: Callbacks { status: url.clone(), mo: url },
        });
    }
    Ok(changes)
}

/// The change with the present values instead of those at the time of planning.
///
/// # Errors
/// An API error.
pub async fn refreshed(api: &SmsmodeApi, change: Change) -> Result<Change, ConnectError> {
    let channel = api.channel(&change.organisation, &change.channel).await?;
    Ok(Change { before: channel.callbacks, ..change })
}

/// Applies a change, and verifies it.
///
/// # Errors
/// An API error: the channel may have been changed or not.
pub async fn apply(api: &SmsmodeApi, change: &Change) -> Result<(), ConnectError> {
    api.set_callbacks(&change.organisation, &change.channel, &change.after).await?;
    // A new request: the response to a change may repeat the request.
    let channel = api.channel(&change.organisation, &change.channel).await?;
    match channel.callbacks == change.after {
        true => Ok(()),
        false => Err(ConnectError::NotTaken(change.channel.clone())),
    }
}

#[cfg(test)]
mod tests;
