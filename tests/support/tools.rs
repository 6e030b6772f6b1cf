//! Programs that tests run.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// What a test needs. Where it is missing, the test is skipped and says so; but never in CI, where a test that did not run must not
/// look like one that passed.
pub fn require_tool<T>(name: &str, found: Option<T>, how: &str) -> Option<T> {
    if found.is_none() {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let line = format!("skipped: {test}: {name} is missing; {how}");
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{line}");
        // Past the capture of `eprintln!`, which shows nothing of a test that returns.
        let _closed = writeln!(std::io::stderr(), "{line}");
    }
    found
}

pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Runs a command to its end with `input` on its standard input.
pub fn run_with_input(command: &mut Command, input: &str) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}
