//! Output, confirmation and signals of commands.

use std::io::{IsTerminal, Write, stdin, stdout};

use jiff::{Timestamp, Unit};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use super::Exit;

/// Prints to standard output; if that is closed, the text is dropped.
pub fn print(text: &str) {
    let mut output = stdout().lock();
    let _closed = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}

/// A time to the second.
pub fn second(time: Timestamp) -> String {
    time.round(Unit::Second).unwrap_or(time).to_string()
}

/// Asks for confirmation; anything but a yes prints `otherwise`.
///
/// # Errors
/// There is no terminal.
pub fn confirmed(question: &str, otherwise: &str) -> Result<bool, Exit> {
    if !stdin().is_terminal() || !stdout().is_terminal() {
        return Err(Exit::Failure(format!("{otherwise}: there is no terminal to ask at; expected --yes as well")));
    }
    print(question);
    let mut answer = String::new();
    stdin().read_line(&mut answer).map_err(Exit::failure)?;
    let is_yes = ["y", "yes"].contains(&answer.trim().to_lowercase().as_str());
    if !is_yes {
        print(&format!("{otherwise}\n"));
    }
    Ok(is_yes)
}

/// A runtime for a command that waits for one thing at a time.
///
/// # Errors
/// The system lacks resources.
pub fn runtime() -> Result<Runtime, Exit> {
    Builder::new_current_thread().enable_all().build().map_err(Exit::failure)
}

/// Resolves at the first SIGTERM (Kubernetes' way to start a graceful shutdown) or SIGINT (Ctrl-C).
pub fn termination() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: ending"),
            _ = interrupt.recv() => tracing::info!("SIGINT: ending"),
        }
    })
}
