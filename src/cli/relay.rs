//! The command lines of relays: `relay list`, `relay retry`.

use clap::{Args, Subcommand};

#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum RelayCommand {
    /// Print what relays have not delivered, the oldest first: what waits, and dead letters with their last error
    List(RelayList),
    /// Have dead letters tried again by the smscope that is running
    Retry(RelayRetry),
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct RelayList {
    /// Only of this relay
    #[arg(long, value_name = "NAME")]
    pub relay: Option<String>,
    /// Only dead letters
    #[arg(long)]
    pub dead: bool,
    /// How many at most
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    pub limit: usize,
}

#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[group(required = true, multiple = false)]
pub struct RelayRetry {
    /// Those with these ids, as `relay list` prints them
    #[arg(value_name = "ID")]
    pub ids: Vec<i64>,
    /// All of this relay
    #[arg(long, value_name = "NAME")]
    pub relay: Option<String>,
    /// All there are
    #[arg(long)]
    pub all: bool,
}
