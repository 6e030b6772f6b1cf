//! Programs that tests run.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use sha2::{Digest, Sha256};

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

/// The folder of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the repository.
pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The standard output and error of a command, which has to succeed.
pub fn succeeded(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{text}");
    text
}

/// A program of a Debian package; `None` if it is missing and the test is skipped.
pub fn program(name: &str, package: &str) -> Option<PathBuf> {
    require_tool(name, on_path(name), &format!("Debian has it in the package {package}"))
}

/// A program of the packages of grafana/; `None` if it is missing and the test is skipped.
pub fn package(name: &str) -> Option<PathBuf> {
    let path = root().join("grafana/node_modules/.bin").join(name);
    require_tool("the packages of grafana/", path.is_file().then_some(path), "grafana/setup.sh installs them")
}

/// A program that a build.sh under tests/ has built of `sources`.
pub fn built(kind: &str, sources: &[u8], program: &str) -> Option<PathBuf> {
    let hash: String = Sha256::digest(sources).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let cache = match std::env::var_os("XDG_CACHE_HOME").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(std::env::var_os("HOME")?).join(".cache"),
    };
    Some(cache.join("smscope").join(kind).join(hash).join(program)).filter(|file| file.is_file())
}
