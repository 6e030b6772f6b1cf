//! A child process, and what it writes.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use super::{Attempt, eventually};

/// Bytes of each output's end that a failing test shows.
const SHOWN: usize = 6_000;

/// Killed when dropped; a test that is failing shows the end of what it wrote.
pub struct Process {
    name: String,
    child: Mutex<Child>,
    stdout: Output,
    stderr: Output,
}

/// A process that has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Process {
    pub fn start(name: &str, command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let stdout = Output::of(child.stdout.take().unwrap());
        let stderr = Output::of(child.stderr.take().unwrap());
        Self { name: name.to_owned(), child: Mutex::new(child), stdout, stderr }
    }

    /// Waits until `ready` succeeds; panics if the process ends before.
    pub fn until_ready<A: Attempt>(&self, mut ready: impl FnMut() -> A) -> A::Value {
        eventually(&format!("{} is ready", self.name), || {
            ready().result().inspect_err(|error| {
                let status = self.status();
                assert!(status.is_none(), "{} ended: {status:?}, {error}", self.name);
            })
        })
    }

    pub fn id(&self) -> u32 {
        self.child().id()
    }

    pub fn stdout(&self) -> String {
        self.stdout.text.lock().unwrap().clone()
    }

    pub fn stderr(&self) -> String {
        self.stderr.text.lock().unwrap().clone()
    }

    /// All that it has written.
    pub fn output(&self) -> String {
        self.stdout() + &self.stderr()
    }

    /// Sends a signal by the shell's own `kill`, which is there on every machine.
    pub fn signal(&self, signal: &str) {
        let id = self.id().to_string();
        let status = Command::new("sh").args(["-c", "kill \"-$0\" \"$1\"", signal, &id]).status().unwrap();
        assert!(status.success(), "{} has ended", self.name);
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&self) {
        let mut child = self.child();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Waits for the process, which ends by itself or has been asked to end.
    pub fn end(mut self) -> Ended {
        let status = eventually(&format!("{} ends", self.name), || {
            self.status().ok_or_else(|| format!("it still runs: {}", self.stderr()))
        });
        Ended { code: status.code(), stdout: self.stdout.whole(), stderr: self.stderr.whole() }
    }

    /// SIGTERM; it has to end without an error.
    pub fn terminate(self) -> Ended {
        self.signal("TERM");
        let ended = self.end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended
    }

    fn status(&self) -> Option<ExitStatus> {
        self.child().try_wait().unwrap()
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = self.child();
        // It may have ended by itself.
        let _ended = child.kill();
        let _reaped = child.wait();
        if std::thread::panicking() {
            for (name, output) in [("standard output", &self.stdout), ("standard error", &self.stderr)] {
                let text = output.text.lock().unwrap();
                let start = text.ceil_char_boundary(text.len().saturating_sub(SHOWN));
                eprintln!("--- {name} of {}:\n{}", self.name, &text[start..]);
            }
        }
    }
}

/// What a process writes, while it writes.
struct Output {
    text: Arc<Mutex<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Output {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let written = text.clone();
        let thread = std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                written.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        Self { text, thread: Some(thread) }
    }

    /// All of it, once the process has ended.
    fn whole(&mut self) -> String {
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        self.text.lock().unwrap().clone()
    }
}
