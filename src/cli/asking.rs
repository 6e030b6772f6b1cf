//! The command lines of what asks others: `check --public-url`, `connect`, `reconcile`.

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
