//! The command lines of what asks others: `check --public-url`, `connect`, `reconcile`.

use std::time::Duration;

use clap::Args;

#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckArguments {
    /// Instead: call the callback URLs under this address as the provider would, and say of each step whether it is well
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct ConnectArguments {
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

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct ReconcileArguments {
    /// How far to reach back: what was accepted since then is asked for
    #[arg(long, value_name = "DURATION", value_parser = super::duration)]
    pub since: Duration,
    /// Only this source
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct ReprocessArguments {
    /// How far to reach back: what arrived since then is read [default: all that is stored]
    #[arg(long, value_name = "DURATION", value_parser = super::duration)]
    pub since: Option<Duration>,
    /// Only this source
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Store nothing; print what the requests are read as
    #[arg(long)]
    pub dry_run: bool,
}
