//! One child process with its log.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use super::eventually;

/// Bytes of a log's end that a failing test shows.
const SHOWN: usize = 6_000;

/// Killed when dropped; a test that is failing shows the end of the log.
pub struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with standard output and error in `log`, which is truncated.
    pub fn start(name: &'static str, command: &mut Command, log: &Path) -> Self {
        let file = File::create(log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { name, child, log: log.to_owned() }
    }

    /// Waits until `ready` succeeds; panics when the process ends before.
    pub fn until_ready(&mut self, mut ready: impl FnMut() -> Result<(), String>) {
        let (name, child) = (self.name, &mut self.child);
        eventually(name, || match ready() {
            Err(error) => {
                let ended = child.try_wait().unwrap();
                assert!(ended.is_none(), "{name} ended: {ended:?}, {error}");
                Err(error)
            }
            ready => ready,
        });
    }

    /// SIGKILL: no chance to save anything.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and waits for the end.
    pub fn terminate(self) -> ExitStatus {
        assert!(self.signal("TERM"), "{}: cannot be terminated", self.name);
        self.ended()
    }

    /// Sends a signal; `false` when nobody is there to get it. The shell has `kill` built in; the standard library only knows SIGKILL.
    pub fn signal(&self, signal: &str) -> bool {
        let id = self.child.id().to_string();
        Command::new("sh").args(["-c", "kill \"-$0\" \"$1\"", signal, &id]).status().unwrap().success()
    }

    /// Waits for the end, which somebody else has asked for.
    pub fn ended(mut self) -> ExitStatus {
        eventually(self.name, || {
            let ended = self.child.try_wait().unwrap();
            ended.ok_or_else(|| "still running".to_owned())
        })
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _gone = self.child.kill();
            let _gone = self.child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let start = log.len().saturating_sub(SHOWN);
            let start = (start..log.len()).find(|&at| log.is_char_boundary(at)).unwrap_or(0);
            eprintln!("--- {} said:\n{}", self.name, &log[start..]);
        }
    }
}
