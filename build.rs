//! Tells the binary what it was built from and by, for `smscope_build_info`.
//!
//! The names do not start with `SMSCOPE_`: `cargo run` hands them on to the binary, which would take them for settings.

use std::env;
use std::path::Path;
use std::process::Command;

fn main() {
    let revision = env::var("BUILD_REVISION").ok().or_else(|| git(&["rev-parse", "--short=12", "HEAD"]));
    let rustc = env::var("RUSTC").ok().and_then(|rustc| first_line(&rustc, &["--version"]));
    let rustc = rustc.and_then(|line| line.split(' ').nth(1).map(str::to_owned));
    println!("cargo::rustc-env=BUILD_REVISION={}", revision.unwrap_or_else(|| "unknown".into()));
    println!("cargo::rustc-env=BUILD_RUSTC={}", rustc.unwrap_or_else(|| "unknown".into()));
    println!("cargo::rerun-if-env-changed=BUILD_REVISION");
    println!("cargo::rerun-if-changed=build.rs");
    // A line is added to the log of HEAD by each commit and checkout. A file that is not there would mean: each time.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists()) {
        println!("cargo::rerun-if-changed={log}");
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    first_line("git", arguments)
}

fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().next().map(str::to_owned)
}
