//! The real binary with a terminal before it, which `script` of util-linux makes.

use std::io::{BufRead, BufReader, copy, sink};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use tempfile::TempDir;

use super::{Launch, on_path, require_tool};

/// A smscope whose standard output is a terminal; asked to end when dropped.
pub struct OnATerminal {
    script: Child,
    /// What it wrote until it was ready.
    pub text: String,
    /// Holds the data directory.
    _home: Arc<TempDir>,
}

/// A command line of this launch's program on a terminal; `None` where there is no `script`, and the test is skipped.
pub fn on_a_terminal(launch: &Launch, arguments: &str) -> Option<Command> {
    let script = require_tool("script", on_path("script"), "Debian has it in the package bsdutils")?;
    let mut command = Command::new(script);
    let line = format!("exec {} {arguments}", env!("CARGO_BIN_EXE_smscope"));
    command.args(["-q", "-e", "-c", &line, "/dev/null"]).env_clear().envs(launch.environment().iter().cloned());
    command.env("SHELL", "/bin/sh").stdin(Stdio::piped()).stdout(Stdio::piped());
    Some(command)
}

impl OnATerminal {
    pub fn start(launch: &Launch) -> Option<Self> {
        let mut script = on_a_terminal(launch, "serve")?.env("RUST_LOG", "off").stdin(Stdio::null()).spawn().unwrap();
        let mut text = String::new();
        let mut output = BufReader::new(script.stdout.take().unwrap());
        while !text.contains("metrics: http") {
            assert_ne!(output.read_line(&mut text).unwrap(), 0, "{text}");
        }
        // Whatever else it writes is read, so that it never waits for that.
        std::thread::spawn(move || copy(&mut output, &mut sink()));
        Some(Self { script, text, _home: launch.home.clone() })
    }
}

impl Drop for OnATerminal {
    fn drop(&mut self) {
        // The only child of `script`, which ends with it.
        let children = format!("kill -TERM $(cat /proc/{0}/task/{0}/children)", self.script.id());
        let _asked = Command::new("sh").args(["-c", &children]).status();
        let _ended = self.script.wait();
    }
}
