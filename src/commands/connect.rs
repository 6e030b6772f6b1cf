//! `smscope connect`: the callback URLs of the provider's channels, shown and set.

use std::io::{Write, stdout};
use std::process::ExitCode;

use clap::Args;

use super::terminal::{confirmed, print, runtime};
use super::{Exit, tokens};
use crate::config::{Config, Loaded};
use crate::data_dir::DataDir;
use crate::event::SourceName;
use crate::features::connect::{self, Change, Undo};
use crate::smsmode_api::{SmsmodeApi, rest_apis};

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// Where the internet reaches smscope, such as https://sms.example.com [default: that of the configuration]
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Only this source
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Only the channel with this id; several times for several
    #[arg(long, value_name = "ID")]
    pub channel: Vec<String>,
    /// Set what is shown, after asking
    #[arg(long)]
    pub apply: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Show, and with --apply set, what was before the last --apply
    #[arg(long, conflicts_with_all = ["public_url", "source", "channel"])]
    pub undo: bool,
}

/// # Errors
/// No API key, no such source or channel, an API error, no confirmation.
pub fn run(loaded: &Loaded, arguments: &Arguments) -> Result<ExitCode, Exit> {
    let undo = Undo::of(&DataDir::private_of(&loaded.config.data_dir));
    runtime()?.block_on(async {
        if arguments.undo {
            return take_back(&loaded.config, arguments, &undo).await;
        }
        let config = match &arguments.public_url {
            Some(url) => loaded.config.under_public_url("--public-url", url)?.0,
            None if loaded.config.public_url.is_some() => loaded.config.clone(),
            None => return Err(Exit::Configuration("--public-url: missing; expected it, or public_url".to_owned())),
        };
        let mut changes = Vec::new();
        for (source, api) in rest_apis(&config.sources, arguments.source.as_deref()).map_err(Exit::configuration)? {
            let url = config.callback_url(&source.name, tokens::first(&config, source)?.reveal());
            let api = SmsmodeApi::new(&source.name, api);
            changes.extend(connect::plan(&source.name, &api, &url, &arguments.channel).await.map_err(Exit::failure)?);
        }
        print(&connect::shown(&changes));
        changes.retain(Change::changes);
        if !agreed(&changes, arguments)? {
            return Ok(ExitCode::SUCCESS);
        }
        DataDir::open(&config.data_dir)?;
        undo.remember(&changes)
            .map_err(|error| Exit::Failure(format!("nothing is set: the present values cannot be stored: {error}")))?;
        set(&config, &changes).await?;
        print("set; smscope connect --undo shows the previous values\n");
        Ok(ExitCode::SUCCESS)
    })
}

async fn take_back(config: &Config, arguments: &Arguments, undo: &Undo) -> Result<ExitCode, Exit> {
    let unreadable = |error| Exit::Failure(format!("the previous values cannot be read: {error}"));
    let last = undo.last().map_err(unreadable)?;
    if last.is_empty() {
        print("nothing to undo\n");
        return Ok(ExitCode::SUCCESS);
    }
    let mut changes = Vec::new();
    for change in last {
        let api = api(config, &change.source)?;
        changes.push(connect::refreshed(&api, change.reverse()).await.map_err(Exit::failure)?);
    }
    print(&connect::shown(&changes));
    changes.retain(Change::changes);
    if changes.is_empty() {
        print("already set\n");
    } else if agreed(&changes, arguments)? {
        set(config, &changes).await?;
        print("previous values set\n");
    } else {
        return Ok(ExitCode::SUCCESS);
    }
    undo.forget_last().map_err(unreadable)?;
    Ok(ExitCode::SUCCESS)
}

/// Whether the changes are to be made: with --apply, and after confirmation, by --yes or by a person.
fn agreed(changes: &[Change], arguments: &Arguments) -> Result<bool, Exit> {
    if changes.is_empty() {
        print("nothing to change\n");
        return Ok(false);
    }
    if !arguments.apply {
        print("nothing is set yet: --apply sets it\n");
        return Ok(false);
    }
    if arguments.yes {
        return Ok(true);
    }
    let question =
        format!("set this on {} channel{}? [y/N] ", changes.len(), if changes.len() == 1 { "" } else { "s" });
    confirmed(&question, "nothing is set")
}

async fn set(config: &Config, changes: &[Change]) -> Result<(), Exit> {
    for (done, change) in changes.iter().enumerate() {
        let api = api(config, &change.source)?;
        connect::apply(&api, change).await.map_err(|error| {
            let of = changes.len();
            Exit::Failure(format!("{error}; {done} of {of} channels are set, and --undo shows the previous values"))
        })?;
        stdout().flush().map_err(Exit::failure)?;
    }
    Ok(())
}

/// The API of a source. Must be used within a tokio runtime.
fn api(config: &Config, name: &SourceName) -> Result<SmsmodeApi, Exit> {
    let (_, api) = rest_apis(&config.sources, Some(name.as_str())).map_err(Exit::configuration)?.remove(0);
    Ok(SmsmodeApi::new(name, api))
}
