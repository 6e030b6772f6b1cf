//! How a command sends a request to the running smscope: by a Unix domain socket in the private folder, which only the same user (and
//! root) can reach. The request is one line of JSON; the response is lines of JSON, all but the last of which are progress.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::event::SourceName;
use crate::features::reconcile::Tally;
use crate::features::reprocess::{Scope, Tallies};
use crate::store::erase::{Erased, Progress};
use crate::store::opt_outs::OptOutChange;
use crate::store::relays::DeadLetterFilter;
use crate::tasks::{Task, join_logged};

/// A request of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Request {
    /// Erase what is stored of these phone numbers.
    Erase { recipients: Vec<String> },
    /// Redrive dead letters of relays.
    RetryRelayed { which: DeadLetterFilter },
    /// Change the list of opt-outs.
    OptOut { changes: Vec<OptOutChange> },
    /// Reconcile what the provider accepted from `since` on and before `until`, for one source or for all.
    Reconcile { source: Option<String>, since: Timestamp, until: Timestamp },
    /// Decode unrecognized requests again.
    Reprocess { scope: Scope },
}

/// A line of a response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    Progress(Progress),
    Erased(Erased),
    /// How many dead letters are redriven.
    Retried(u64),
    /// How many opt-outs have changed.
    OptedOut(u64),
    /// One source has been reconciled.
    SourceReconciled {
        source: SourceName,
        tally: Tally,
    },
    /// All sources have been reconciled.
    Reconciled,
    /// What was decoded again, by source.
    Reprocessed(Tallies),
    /// The running smscope is not configured for the request.
    NotConfigured(String),
    Failed(String),
}

impl Line {
    /// Whether another line comes after it.
    pub fn is_progress(&self) -> bool {
        matches!(self, Line::Progress(_) | Line::SourceReconciled { .. })
    }
}

/// The socket's name in the private folder.
const NAME: &str = "control";

/// Bytes of a request. A list of some thousand numbers is shorter.
const MAX_REQUEST: u64 = 1 << 20;

/// From the connection to the end of the request, and for the client to read each line of the response.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes that the address of a socket may have on Linux, without the zero at its end.
const MAX_PATH: usize = 107;

/// The socket of `folder` by a path that is short enough, which is valid for as long as the folder is open.
fn short_path(folder: &Path) -> io::Result<(PathBuf, File)> {
    let open = File::open(folder)?;
    let path = path_in(folder);
    let is_short = path.as_os_str().len() <= MAX_PATH;
    Ok((if is_short { path } else { format!("/proc/self/fd/{}/{NAME}", open.as_raw_fd()).into() }, open))
}

/// The socket of `folder`, whether or not it exists.
pub fn path_in(folder: &Path) -> PathBuf {
    folder.join(NAME)
}

/// Binds the socket in `folder`, which the caller has locked: one that exists was left by a process that has ended.
///
/// # Errors
/// The socket cannot be made.
pub fn listen(folder: &Path) -> io::Result<UnixListener> {
    let (path, _folder) = short_path(folder)?;
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Removes the socket.
pub fn unlink(folder: &Path) {
    // Otherwise the next start removes it.
    let _left = fs::remove_file(path_in(folder));
}

/// Serves requests until `shutdown` resolves. `handle` blocks, and sends the lines of the response.
pub async fn run(
    listener: UnixListener,
    handle: impl Fn(Request, mpsc::Sender<Line>) + Send + Sync + 'static,
    shutdown: impl Future<Output = ()>,
) {
    let handle = Arc::new(handle);
    // Dropped with this, so that an idle client delays nothing.
    let mut answers = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                while let Some(joined) = answers.try_join_next() {
                    join_logged(Task::Command, joined);
                }
                answers.spawn(answer(stream, handle.clone()));
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept a command");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(
    stream: tokio::net::UnixStream,
    handle: Arc<impl Fn(Request, mpsc::Sender<Line>) + Send + Sync + 'static>,
) {
    let (reader, mut writer) = stream.into_split();
    let mut text = String::new();
    let mut reader = tokio::io::BufReader::new(reader.take(MAX_REQUEST));
    let read = tokio::time::timeout(TIMEOUT, reader.read_line(&mut text)).await;
    let (lines, mut received) = mpsc::channel(16);
    // The error would quote the request.
    let request = serde_json::from_str::<Request>(&text).ok().filter(|_| matches!(read, Ok(Ok(_))));
    let work = tokio::task::spawn_blocking(move || match request {
        Some(request) => handle(request, lines),
        None => {
            let unknown = "not a request that this smscope knows".to_owned();
            let _client_gone = lines.blocking_send(Line::Failed(unknown));
        }
    });
    while let Some(line) = received.recv().await {
        let Ok(mut line) = serde_json::to_vec(&line) else { return };
        line.push(b'\n');
        let written = tokio::time::timeout(TIMEOUT, writer.write_all(&line)).await;
        if !matches!(written, Ok(Ok(()))) {
            return;
        }
    }
    join_logged(Task::Command, work.await);
}

/// Sends a request to the smscope that has `folder` open. Passes each line of progress to `on_progress`, and gives the last line.
///
/// # Errors
/// There is no response, or it breaks off.
pub fn call(folder: &Path, request: &Request, mut on_progress: impl FnMut(Line)) -> io::Result<Line> {
    let (path, _folder) = short_path(folder)?;
    let mut stream = UnixStream::connect(path)?;
    let mut text = serde_json::to_vec(request)?;
    text.push(b'\n');
    stream.write_all(&text)?;
    for line in BufReader::new(stream).lines() {
        match serde_json::from_str(&line?)? {
            line if Line::is_progress(&line) => on_progress(line),
            last => return Ok(last),
        }
    }
    Err(io::Error::new(ErrorKind::UnexpectedEof, "it ended before it was done"))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::store::erase::Phase;

    fn serve(folder: &Path) -> tokio::task::JoinHandle<()> {
        let listener = listen(folder).unwrap();
        let handle = |request, lines: mpsc::Sender<Line>| {
            let Request::Erase { recipients } = request else { panic!("another request") };
            let progress = Progress { phase: Phase::Overwriting, done: 1, of: 2 };
            lines.blocking_send(Line::Progress(progress)).unwrap();
            lines
                .blocking_send(Line::Erased(Erased { messages: recipients.len() as u64, ..Erased::default() }))
                .unwrap();
        };
        tokio::spawn(run(listener, handle, std::future::pending()))
    }

    async fn asked(folder: &Path) -> io::Result<(Line, usize)> {
        let folder = folder.to_owned();
        let ask = move || {
            let mut told = 0;
            let request = Request::Erase { recipients: vec!["1".into(), "2".into()] };
            call(&folder, &request, |_| told += 1).map(|line| (line, told))
        };
        tokio::task::spawn_blocking(ask).await.unwrap()
    }

    #[tokio::test]
    async fn a_request_is_answered_by_progress_and_a_last_line_however_long_the_path_is() {
        let home = TempDir::new().unwrap();
        for name in ["short".to_owned(), "long".repeat(40)] {
            let folder = home.path().join(name);
            fs::create_dir(&folder).unwrap();
            let server = serve(&folder);
            let (line, told) = asked(&folder).await.unwrap();
            assert_eq!((line, told), (Line::Erased(Erased { messages: 2, ..Erased::default() }), 1));
            assert_eq!(fs::metadata(folder.join(NAME)).unwrap().permissions().mode() & 0o777, 0o600);
            server.abort();
        }
    }

    #[tokio::test]
    async fn a_socket_that_was_left_is_replaced_and_without_one_there_is_no_response() {
        let folder = TempDir::new().unwrap();
        assert!(asked(folder.path()).await.is_err());
        drop(listen(folder.path()).unwrap());
        assert!(asked(folder.path()).await.is_err());
        let server = serve(folder.path());
        assert!(asked(folder.path()).await.is_ok());
        server.abort();
        unlink(folder.path());
        assert!(!folder.path().join(NAME).exists());
    }

    #[tokio::test]
    async fn an_invalid_request_is_rejected_without_being_repeated() {
        let folder = TempDir::new().unwrap();
        let server = serve(folder.path());
        let path = folder.path().join(NAME);
        let said = tokio::task::spawn_blocking(move || {
            let mut stream = UnixStream::connect(path).unwrap();
            stream.write_all(b"{\"command\":\"dance\",\"with\":\"+33612345678\"}\n").unwrap();
            io::read_to_string(stream).unwrap()
        });
        assert_eq!(said.await.unwrap(), "{\"failed\":\"not a request that this smscope knows\"}\n");
        server.abort();
    }
}
