//! `smscope check`: the effective configuration, or whether the public URL works.

mod describe;

use std::process::ExitCode;

use clap::Args;

use super::terminal::{print, runtime};
use super::{Exit, store, tokens};
use crate::config::Loaded;
use crate::data_dir::DataDir;
use crate::features::probe::{self, Target};
use crate::probe_challenge::ChallengeKey;

pub use describe::{describe, lines};

/// Calls of each callback URL.
const CALLS_PER_URL: usize = 3;

#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// Instead: call the callback URLs under this address as the provider would, and print whether each step succeeds
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
}

/// # Errors
/// The database of a fleet cannot be used; or those of the public URL. An invalid configuration is an error of the loading.
pub fn run(loaded: &Loaded, arguments: &Arguments) -> Result<ExitCode, Exit> {
    if let Some(url) = &arguments.public_url {
        return check_public_url(loaded, url);
    }
    print(&describe(loaded));
    let Some(postgres) = &loaded.config.store.postgres else { return Ok(ExitCode::SUCCESS) };
    let (server, exit) = store::check(postgres)?;
    print(&server);
    exit.map_or(Ok(ExitCode::SUCCESS), Err)
}

/// `smscope check --public-url`: exit code 1 when a step failed. Nothing is written.
///
/// # Errors
/// It is no URL, or a generated token is missing.
fn check_public_url(loaded: &Loaded, url: &str) -> Result<ExitCode, Exit> {
    let (config, tls) = loaded.config.under_public_url("--public-url", url)?;
    let challenge_key = DataDir::made_hash_key(&config.data_dir).map(|key| ChallengeKey::new(&key));
    let targets = config.sources.iter().map(|source| {
        let token = tokens::first(&config, source)?;
        let url = config.callback_url(&source.name, token.reveal());
        let target = Target::new(source, &url, tls.clone(), challenge_key.clone());
        let target = target.ok_or_else(|| Exit::Failure("--public-url: not a URL that can be called".to_owned()))?;
        Ok((source.name.clone(), target))
    });
    let targets = targets.collect::<Result<Vec<_>, Exit>>()?;
    let all_succeeded = runtime()?.block_on(async {
        let mut all_succeeded = true;
        for (source, target) in &targets {
            let report = probe::call(target, CALLS_PER_URL).await;
            all_succeeded &= report.steps.iter().all(|step| step.failure().is_none());
            print(&format!("{}\n{}", config.callback_url(source, "<token>"), probe::lines(&report.steps)));
        }
        all_succeeded
    });
    Ok(if all_succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
