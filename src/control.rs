//! How a command asks the smscope that is running to do something: a Unix domain socket in the private folder, which only the same
//! user (and root) can reach. One line of JSON is the request; the answer is lines of JSON, the last of which is no progress.

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

/// What may be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Request {
    /// Erase what is kept of these phone numbers.
    Erase { recipients: Vec<String> },
    /// Try dead letters of relays again.
    RetryRelayed { which: DeadLetterFilter },
    /// Change the list of opt-outs.
    OptOut { changes: Vec<OptOutChange> },
    /// Ask the provider for all that was accepted from `since` on and before `until`, of one source or of all.
    Reconcile { source: Option<String>, since: Timestamp, until: Timestamp },
    /// Read stored requests again that were not understood.
    Reprocess { scope: Scope },
}

/// A line of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    Progress(Progress),
    Erased(Erased),
    /// How many dead letters redriven.
    Retried(u64),
    /// How many opt-outs have changed.
    OptedOut(u64),
    /// One source has been asked about.
    Asked {
        source: SourceName,
        tally: Tally,
    },
    /// All sources have been asked about.
    Reconciled,
    /// What was read again, by source.
    Reprocessed(Tallies),
    /// The running smscope is not configured for what is asked for.
    NotConfigured(String),
    Failed(String),
}

impl Line {
    /// Whether another line comes after it.
    fn is_progress(&self) -> bool {
        matches!(self, Line::Progress(_) | Line::Asked { .. })
    }
}

/// The socket's name in the private folder.
const NAME: &str = "control";

/// Bytes of a request. A list of some thousand numbers is shorter.
const LONGEST: u64 = 1 << 20;

/// From the connection to the end of the request, and for each line of the answer to be read.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes that an address of a socket may have on Linux, the zero at its end aside.
const LONGEST_PATH: usize = 107;

/// The socket under a path that is short enough, which holds for as long as the folder is open.
struct Place {
    path: PathBuf,
    _folder: File,
}

impl Place {
    fn of(folder: &Path) -> io::Result<Self> {
        let open = File::open(folder)?;
        let mut path = path_in(folder);
        if path.as_os_str().len() > LONGEST_PATH {
            path = format!("/proc/self/fd/{}/{NAME}", open.as_raw_fd()).into();
        }
        Ok(Self { path, _folder: open })
    }
}

/// The socket of `folder`, whether or not it exists.
pub fn path_in(folder: &Path) -> PathBuf {
    folder.join(NAME)
}

/// Takes the place of the socket in `folder`, which the caller has locked: one that is there was left by a process that is gone.
///
/// # Errors
/// The socket cannot be made.
pub fn listen(folder: &Path) -> io::Result<UnixListener> {
    let place = Place::of(folder)?;
    match fs::remove_file(&place.path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&place.path)?;
    fs::set_permissions(&place.path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Takes the socket away.
pub fn unlink(folder: &Path) {
    // The next start does it otherwise.
    let _left = fs::remove_file(path_in(folder));
}

/// Answers requests until `shutdown` resolves. `handle` blocks; what it is handed takes the lines of its answer.
pub async fn run(
    listener: UnixListener,
    handle: impl Fn(Request, mpsc::Sender<Line>) + Send + Sync + 'static,
    shutdown: impl Future<Output = ()>,
) {
    let handle = Arc::new(handle);
    // Dropped with this, so that a client who asks nothing holds nothing up.
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
                tracing::debug!(%error, "a command could not be taken");
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
    let mut reader = tokio::io::BufReader::new(reader.take(LONGEST));
    let read = tokio::time::timeout(TIMEOUT, reader.read_line(&mut text)).await;
    let (lines, mut said) = mpsc::channel(16);
    let work = match serde_json::from_str::<Request>(&text) {
        // The error would quote the request.
        Ok(request) if matches!(read, Ok(Ok(_))) => Some(tokio::task::spawn_blocking(move || handle(request, lines))),
        _ => {
            let _heard = lines.send(Line::Failed("not a request that this smscope knows".to_owned())).await;
            drop(lines);
            None
        }
    };
    while let Some(line) = said.recv().await {
        let Ok(mut line) = serde_json::to_vec(&line) else { return };
        line.push(b'\n');
        let written = tokio::time::timeout(TIMEOUT, writer.write_all(&line)).await;
        if !matches!(written, Ok(Ok(()))) {
            return;
        }
    }
    if let Some(work) = work {
        join_logged(Task::Command, work.await);
    }
}

/// Asks the smscope that has `folder` open, and hands each line but the last to `tell`.
///
/// # Errors
/// Nobody answers, or not to the end.
pub fn ask(folder: &Path, request: &Request, mut tell: impl FnMut(Line)) -> io::Result<Line> {
    let mut stream = UnixStream::connect(Place::of(folder)?.path)?;
    let mut text = serde_json::to_vec(request)?;
    text.push(b'\n');
    stream.write_all(&text)?;
    for line in BufReader::new(stream).lines() {
        match serde_json::from_str(&line?)? {
            line if Line::is_progress(&line) => tell(line),
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
            ask(&folder, &request, |_| told += 1).map(|line| (line, told))
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
    async fn a_socket_that_was_left_is_replaced_and_without_one_nobody_answers() {
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
    async fn what_is_no_request_is_refused_without_being_repeated() {
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
