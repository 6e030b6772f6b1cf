//! Black-box tests of the real binary, one module per subject. They are one program because they share their harness: it is
//! compiled and linked once.

#[path = "../support/mod.rs"]
mod support;

mod admin;
mod auth_throttle;
mod authentication;
mod backends;
mod command_line;
mod damaged;
mod erase;
mod events;
mod examples;
mod floods;
mod generated;
mod http;
mod identity;
mod leaks;
mod operation;
mod opt_outs;
mod page;
mod provider_commands;
mod recipes;
mod relay;
mod reprocess;
mod resend;
mod simulate;
mod smuggling;
mod store_commands;
mod store_questions;
mod timeouts;
mod tls;
mod wal;
mod webhooks;
