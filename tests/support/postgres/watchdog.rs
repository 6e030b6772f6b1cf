//! Ends what a test has started when the test's process ends, however it ends.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::programs::{hand_over, unprivileged};

/// A shell that waits until its standard input closes, then cleans up and removes its folder.
///
/// A static is never dropped, and a test that is killed drops nothing; but the system closes the pipe of both.
pub struct Watchdog {
    folder: PathBuf,
    shell: Child,
}

impl Watchdog {
    /// `start` and `cleanup` are shell scripts, with `arguments` as `$1`, `$2`, ….
    pub fn start(folder: PathBuf, start: &str, cleanup: &str, arguments: &[&Path]) -> Self {
        let script = format!("{start}\ncat >/dev/null\n{cleanup}\nrm -rf \"$0\"");
        let mut command = unprivileged(Path::new("sh"));
        command.arg("-c").arg(script).arg(&folder).args(arguments);
        // A group of its own: Ctrl-C ends the test, and the shell has to outlive that.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let shell = command.spawn().unwrap();
        Self { folder, shell }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // The shell fails only if the folder cannot be removed.
        let _status = self.shell.wait();
    }
}

/// A new folder that belongs to the user of [`unprivileged`], for a watchdog to remove.
pub fn folder() -> PathBuf {
    let folder = tempfile::Builder::new().prefix("smscope-postgres-").tempdir().unwrap().keep();
    hand_over(&folder);
    folder
}

/// Sends a signal to processes by the shell's own `kill`; those that have ended meanwhile do not matter.
pub fn signal(signal: &str, processes: &[u32]) {
    let ids = processes.iter().map(u32::to_string);
    let mut command = Command::new("sh");
    command.args(["-c", "kill -s \"$0\" \"$@\" 2>/dev/null", signal]).args(ids);
    let _some_have_ended = command.status().unwrap();
}
