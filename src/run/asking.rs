//! The commands that ask others: `check --public-url`, `connect` and `reconcile`.

use std::io::{IsTerminal, Write, stdin, stdout};
use std::process::ExitCode;

use jiff::Timestamp;

use super::running::ask_its_owner;
use super::{print, refused};
use crate::cli::{ConnectArguments, Exit, ReconcileArguments};
use crate::config::{Config, Loaded, Source, Tokens};
use crate::connect::{self, Change, Undo};
use crate::control::{Line, Request};
use crate::data_dir::{DataDir, DataDirError};
use crate::event::SourceName;
use crate::probe::{self, Target};
use crate::probe_challenge::ChallengeKey;
use crate::reconcile::{Reconciler, Tally};
use crate::secret::Secret;
use crate::serve;
use crate::smsmode_api::{SmsmodeApi, rest_apis};

/// Calls of each callback URL.
const CALLS: usize = 3;

/// `smscope check --public-url`: exit code 1 when a step failed. Nothing is written.
///
/// # Errors
/// It is no URL, or a token that should have been made is not there.
pub fn check_public_url(loaded: &Loaded, url: &str) -> Result<ExitCode, Exit> {
    let (config, tls) = loaded.config.under_public_url("--public-url", url)?;
    let challenge_key = DataDir::made_hash_key(&config.data_dir).map(|key| ChallengeKey::new(&key));
    let targets = config.sources.iter().map(|source| {
        let token = token(&config, source)?;
        let url = config.callback_url(&source.name, token.reveal());
        let target = Target::new(source, &url, tls.clone(), challenge_key.clone());
        let target = target.ok_or_else(|| Exit::Failure("--public-url: not a URL that can be called".to_owned()))?;
        Ok((source.name.clone(), target))
    });
    let targets = targets.collect::<Result<Vec<_>, Exit>>()?;
    let all_is_well = runtime()?.block_on(async {
        let mut all_is_well = true;
        for (source, target) in &targets {
            let walk = probe::walk(target, CALLS).await;
            all_is_well &= walk.steps.iter().all(|step| step.failure().is_none());
            print(&format!("{}\n{}", config.callback_url(source, "<token>"), probe::lines(&walk.steps)));
        }
        all_is_well
    });
    Ok(if all_is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `smscope connect`.
///
/// # Errors
/// No API key, no such source or channel, an API that does not do its part, nobody who says yes.
pub fn connect(loaded: &Loaded, asked: &ConnectArguments) -> Result<ExitCode, Exit> {
    let undo = Undo::of(&DataDir::private_of(&loaded.config.data_dir));
    runtime()?.block_on(async {
        if asked.undo {
            return take_back(&loaded.config, asked, &undo).await;
        }
        let config = match &asked.public_url {
            Some(url) => loaded.config.under_public_url("--public-url", url)?.0,
            None if loaded.config.public_url.is_some() => loaded.config.clone(),
            None => return Err(Exit::Configuration("--public-url: missing; expected it, or public_url".to_owned())),
        };
        let mut changes = Vec::new();
        for (source, api) in rest_apis(&config, asked.source.as_deref()).map_err(Exit::configuration)? {
            let url = config.callback_url(&source.name, token(&config, source)?.reveal());
            let api = SmsmodeApi::new(&source.name, api);
            changes.extend(connect::plan(&source.name, &api, &url, &asked.channel).await.map_err(Exit::failure)?);
        }
        print(&connect::shown(&changes));
        changes.retain(Change::changes);
        if !agreed(&changes, asked)? {
            return Ok(ExitCode::SUCCESS);
        }
        DataDir::open(&config.data_dir).map_err(|error| refused(error.into()))?;
        undo.remember(&changes)
            .map_err(|error| Exit::Failure(format!("nothing is set: what was before cannot be kept: {error}")))?;
        set(&config, &changes).await?;
        print("set; smscope connect --undo shows what was before\n");
        Ok(ExitCode::SUCCESS)
    })
}

async fn take_back(config: &Config, asked: &ConnectArguments, undo: &Undo) -> Result<ExitCode, Exit> {
    let unreadable = |error| Exit::Failure(format!("what was before cannot be read: {error}"));
    let last = undo.last().map_err(unreadable)?;
    if last.is_empty() {
        print("nothing to take back\n");
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
        print("it is so already\n");
    } else if agreed(&changes, asked)? {
        set(config, &changes).await?;
        print("set as it was before\n");
    } else {
        return Ok(ExitCode::SUCCESS);
    }
    undo.forget_last().map_err(unreadable)?;
    Ok(ExitCode::SUCCESS)
}

/// Whether the changes are to be made: with --apply, and when a person, or --yes, says so.
fn agreed(changes: &[Change], asked: &ConnectArguments) -> Result<bool, Exit> {
    if changes.is_empty() {
        print("nothing to change\n");
        return Ok(false);
    }
    if !asked.apply {
        print("nothing is set yet: --apply sets it\n");
        return Ok(false);
    }
    if asked.yes {
        return Ok(true);
    }
    let question =
        format!("set this on {} channel{}? [y/N] ", changes.len(), if changes.len() == 1 { "" } else { "s" });
    confirmed(&question, "nothing is set")
}

/// Whether a person says yes; anything else is a no, which `otherwise` is printed for.
///
/// # Errors
/// There is no terminal to ask at.
pub(super) fn confirmed(question: &str, otherwise: &str) -> Result<bool, Exit> {
    if !stdin().is_terminal() || !stdout().is_terminal() {
        return Err(Exit::Failure(format!("{otherwise}: there is no terminal to ask at; expected --yes as well")));
    }
    print(question);
    let mut answer = String::new();
    stdin().read_line(&mut answer).map_err(Exit::failure)?;
    let is_yes = ["y", "yes"].contains(&answer.trim().to_lowercase().as_str());
    if !is_yes {
        print(&format!("{otherwise}\n"));
    }
    Ok(is_yes)
}

async fn set(config: &Config, changes: &[Change]) -> Result<(), Exit> {
    for (done, change) in changes.iter().enumerate() {
        let api = api(config, &change.source)?;
        connect::apply(&api, change).await.map_err(|error| {
            let of = changes.len();
            Exit::Failure(format!("{error}; {done} of {of} channels are set, and --undo shows what was before"))
        })?;
        stdout().flush().map_err(Exit::failure)?;
    }
    Ok(())
}

/// `smscope reconcile`, by the smscope that is running on the data directory, or by this process where none is.
///
/// # Errors
/// No API key, no such source, a store that is not there, an API that does not do its part.
pub fn reconcile(loaded: &Loaded, asked: &ReconcileArguments) -> Result<ExitCode, Exit> {
    let config = &loaded.config;
    let until = Timestamp::now();
    let since = until.checked_sub(asked.since).unwrap_or(Timestamp::MIN);
    // Where there is nothing nothing is made.
    DataDir::must_have_store(&config.data_dir).map_err(|error| refused(error.into()))?;
    let data_dir = DataDir::open(&config.data_dir).map_err(|error| refused(error.into()))?;
    let lock = match data_dir.lock() {
        Ok(lock) => lock,
        // Its configuration counts: the key may be in its environment alone.
        Err(DataDirError::InUse { .. }) => return reconciled_by_its_owner(config, asked.source.clone(), since, until),
        Err(other) => return Err(refused(other.into())),
    };
    // Before the store is opened, which may write to it.
    rest_apis(config, asked.source.as_deref()).map_err(Exit::configuration)?;
    let (store, end) = serve::open_store(config, &data_dir).map_err(refused)?;
    let ended = runtime()?.block_on(async {
        for reconciler in Reconciler::of(config, asked.source.as_deref(), &store).map_err(Exit::configuration)? {
            let tally = reconciler.period(since, until).await.map_err(Exit::failure)?;
            print(&told(reconciler.source(), &tally));
        }
        Ok(ExitCode::SUCCESS)
    });
    drop(store);
    end.wait();
    drop(lock);
    ended
}

fn reconciled_by_its_owner(
    config: &Config,
    source: Option<String>,
    since: Timestamp,
    until: Timestamp,
) -> Result<ExitCode, Exit> {
    let tell = |line| {
        if let Line::Asked { source, tally } = line {
            print(&told(&source, &tally));
        }
    };
    match ask_its_owner(config, &Request::Reconcile { source, since, until }, tell) {
        Ok(Line::Reconciled) => Ok(ExitCode::SUCCESS),
        Ok(Line::NotConfigured(problem)) => Err(Exit::Configuration(problem)),
        Ok(Line::Failed(why)) => Err(Exit::Failure(why)),
        Ok(_) => Err(Exit::Failure("the answer makes no sense".to_owned())),
        Err(error) => Err(Exit::Failure(format!("not all was asked for: {error}; run it again"))),
    }
}

fn told(source: &SourceName, tally: &Tally) -> String {
    let Tally { read, looked_for, missed, is_incomplete } = tally;
    let by_outcome: Vec<String> = missed.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    let by_outcome = if missed.is_empty() { String::new() } else { format!(" ({})", by_outcome.join(", ")) };
    let limit = if *is_incomplete { "; reconcile.max_pages came before the end" } else { "" };
    format!(
        "{source}: {} had not come{by_outcome}, of {looked_for} in the period; {read} read{limit}\n",
        tally.missed()
    )
}

/// The API of a source. Must be used within a tokio runtime.
fn api(config: &Config, name: &SourceName) -> Result<SmsmodeApi, Exit> {
    let (_, api) = rest_apis(config, Some(name.as_str())).map_err(Exit::configuration)?.remove(0);
    Ok(SmsmodeApi::new(name, api))
}

/// The first token of a source: that which was given, or that which a smscope has made. None is made here: it would open nothing.
fn token(config: &Config, source: &Source) -> Result<Secret, Exit> {
    match &source.tokens {
        Tokens::Given(tokens) => {
            tokens.first().cloned().ok_or_else(|| Exit::Configuration(format!("source {}: no token", source.name)))
        }
        Tokens::Generated => DataDir::made_token(&config.data_dir, &source.name).ok_or_else(|| {
            let (path, source_name) = (config.data_dir.clone(), source.name.clone());
            refused(DataDirError::NoToken { path, source_name }.into())
        }),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Exit> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Exit::failure)
}
