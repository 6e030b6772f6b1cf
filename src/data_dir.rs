//! The data directory. What is secret or personal is in a folder of mode 0700 inside it: a pod's volume is often 0777.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::net::UnixListener;
use uuid::Uuid;

use crate::control;
use crate::event::SourceName;
use crate::secret::Secret;

/// Why the data directory cannot be used. Names it, and what a person can do.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error("data_dir = {path:?}: {error}; expected {}", .cause.expected())]
    Unusable { path: PathBuf, error: io::Error, cause: Cause },
    #[error(
        "data_dir = {path:?}: there is no store; expected the data directory of a smscope that has run (--data-dir, SMSCOPE_DATA_DIR or \
         data_dir in the configuration file)"
    )]
    NoStore { path: PathBuf },
    #[error(
        "data_dir = {path:?}: no token has been made there for {source_name}; expected the directory of a smscope that has run, or \
         `smscope url --create` to make one"
    )]
    NoToken { path: PathBuf, source_name: SourceName },
    #[error(
        "{path:?}: others can reach it, and that cannot be changed: {error}; expected mode 700 of the folder, 600 of each file"
    )]
    OpenToOthers { path: PathBuf, error: io::Error },
    #[error("data_dir = {path:?}: another smscope is using it; expected a data directory of its own")]
    InUse { path: PathBuf },
}

/// What lies behind an error of the file system, as far as it can be found out.
#[derive(Debug, PartialEq, Eq)]
pub enum Cause {
    /// `owner` is the user to whom `what` belongs, `user` the one that smscope runs as.
    OfAnotherUser {
        what: PathBuf,
        owner: u32,
        user: u32,
    },
    ReadOnly,
    Full,
    Unknown,
}

impl Cause {
    /// That of `error`, met below `path`.
    fn of(error: &io::Error, path: &Path) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::ownership(path).unwrap_or(Self::Unknown),
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Unknown,
        }
    }

    /// The outermost thing that there is on the way into `path` and that is another user's.
    fn ownership(path: &Path) -> Option<Self> {
        let private = DataDir::private_of(path);
        if !path.exists() {
            // What it would be made in.
            let above = path.ancestors().skip(1).find(|above| above.exists())?;
            return Self::owned_by_another(above);
        }
        let files = fs::read_dir(&private).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut below = [path.to_owned(), private].into_iter().chain(files);
        below.find_map(|what| Self::owned_by_another(&what))
    }

    fn owned_by_another(what: &Path) -> Option<Self> {
        // Whose the process's own folder is, so is the process.
        let user = fs::metadata("/proc/self").ok()?.uid();
        let owner = fs::symlink_metadata(what).ok()?.uid();
        (owner != user).then(|| Self::OfAnotherUser { what: what.to_owned(), owner, user })
    }

    fn expected(&self) -> String {
        match self {
            Self::OfAnotherUser { what, owner, user } => format!(
                "{what:?} to belong to user {user}, as whom smscope runs, and not to user {owner} (chown -R {user}, or run it as user \
                 {owner}; in Kubernetes runAsUser and fsGroup)"
            ),
            Self::ReadOnly => "a file system that is mounted for writing".to_owned(),
            Self::Full => "room on the file system, and in the quota, for the store".to_owned(),
            Self::Unknown => "a directory that smscope can make and write".to_owned(),
        }
    }
}

/// The open data directory.
pub struct DataDir {
    path: PathBuf,
    private: PathBuf,
}

/// Held for as long as the process writes here.
pub struct Lock {
    _file: File,
}

impl DataDir {
    /// Makes the directory and its private folder as needed.
    ///
    /// # Errors
    /// It cannot be made, or is not a directory.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let private = Self::private_of(path);
        let unusable = |error| unusable(path, error);
        create_durably(path).map_err(unusable)?;
        match DirBuilder::new().mode(0o700).create(&private) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.and_then(|()| File::open(path)?.sync_all()).map_err(unusable)?,
        }
        close_to_others(path, &private)?;
        Ok(Self { path: path.to_owned(), private })
    }

    /// Where the database of a data directory is, whether or not it exists.
    pub fn private_of(path: &Path) -> PathBuf {
        path.join("private")
    }

    /// Where the database is.
    pub fn private(&self) -> &Path {
        &self.private
    }

    /// Makes sure that there is a store in the data directory at `path`. Makes nothing.
    ///
    /// # Errors
    /// There is none, or it cannot be seen.
    pub fn must_have_store(path: &Path) -> Result<(), DataDirError> {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        match Self::private_of(path).join(DATABASE).try_exists() {
            Ok(true) => Ok(()),
            Ok(false) => Err(DataDirError::NoStore { path: absolute }),
            Err(error) => Err(unusable(&absolute, error)),
        }
    }

    /// Where commands ask the process that has locked the directory. `None`, with a warning, if that cannot be made: some file systems
    /// have no sockets, and webhooks need none.
    pub fn listen_for_control(&self) -> Option<UnixListener> {
        let warn = |error| {
            tracing::warn!(
                "{:?}: {error}; without this socket erase, reconcile, reprocess, relay retry and changes of opt-outs cannot run beside \
                 this smscope; expected a file system that has Unix domain sockets",
                control::path_in(&self.private)
            );
        };
        control::listen(&self.private).map_err(warn).ok()
    }

    /// Makes sure that no other process writes here, until the lock is dropped or the process ends, however it ends.
    ///
    /// # Errors
    /// Another one does.
    pub fn lock(&self) -> Result<Lock, DataDirError> {
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(self.private.join("lock"));
        let file = file.map_err(|error| self.unusable(error))?;
        for_the_owner_alone(&file).map_err(|error| self.unusable(error))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse { path: self.path.clone() }),
            Err(TryLockError::Error(error)) => Err(self.unusable(error)),
        }
    }

    /// Whether a process has locked the folder. Makes nothing.
    pub fn is_in_use(path: &Path) -> bool {
        let file = File::open(Self::private_of(path).join("lock"));
        file.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
    }

    /// The token that was made for a source: 256 bits, URL-safe. Made at the first call, the same ever after.
    pub fn token(&self, source: &SourceName) -> Result<Secret, DataDirError> {
        let make = || Ok(URL_SAFE_NO_PAD.encode(random()?));
        self.read_or_create(&token_file(source), make).map(Secret::new)
    }

    /// The token that was made for the list of opt-outs, likewise.
    pub fn opt_outs_token(&self) -> Result<Secret, DataDirError> {
        self.read_or_create("opt-outs-token", || Ok(URL_SAFE_NO_PAD.encode(random()?))).map(Secret::new)
    }

    /// The token that a smscope has made for a source in the data directory at `path`. Makes nothing.
    pub fn made_token(path: &Path, source: &SourceName) -> Option<Secret> {
        existing(path, &token_file(source)).map(Secret::new)
    }

    /// The key of the recipient hashes of the data directory at `path`. Makes nothing.
    pub fn made_hash_key(path: &Path) -> Option<[u8; 32]> {
        URL_SAFE_NO_PAD.decode(existing(path, "hash-key")?).ok()?.try_into().ok()
    }

    /// `service.instance.id`: never per boot.
    pub fn instance_id(&self) -> Result<Uuid, DataDirError> {
        let text = self.read_or_create("instance-id", || Ok(Uuid::new_v4().to_string()))?;
        text.parse().map_err(|_| self.unusable(io::Error::other("private/instance-id does not hold a UUID")))
    }

    /// The key of the recipient hashes in log records.
    pub fn hash_key(&self) -> Result<[u8; 32], DataDirError> {
        let text = self.read_or_create("hash-key", || Ok(URL_SAFE_NO_PAD.encode(random()?)))?;
        let key = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        key.ok_or_else(|| self.unusable(io::Error::other("private/hash-key does not hold 32 bytes in base64")))
    }

    /// Gives the directory of a store that is copied into it the identity of that store, unless it has one.
    pub fn adopt(&self, instance: Uuid, hash_key: &[u8; 32]) -> Result<(), DataDirError> {
        self.read_or_create("instance-id", || Ok(instance.to_string()))?;
        self.read_or_create("hash-key", || Ok(URL_SAFE_NO_PAD.encode(hash_key)))?;
        Ok(())
    }

    /// Reads a small file, which is created first, whole or not at all, if it does not exist.
    fn read_or_create(&self, name: &str, make: impl FnOnce() -> io::Result<String>) -> Result<String, DataDirError> {
        let path = self.private.join(name);
        let read = || read_small(&path);
        let create = || {
            let text = make()?;
            // Of two processes that create it at once, both use the first one's. A hard link would see to that as well, but several
            // file systems of volumes have none. Without locks on folders either, the race stays.
            let folder = File::open(&self.private)?;
            let _locked = folder.lock();
            match read() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => return other,
            }
            let draft = self.private.join(format!(".{name}.{}", Uuid::new_v4()));
            let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&draft)?;
            for_the_owner_alone(&file)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&draft, &path)?;
            folder.sync_all()?;
            read()
        };
        let text = match read() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(),
            other => other,
        };
        text.map_err(|error| self.unusable(error))
    }

    fn unusable(&self, error: io::Error) -> DataDirError {
        unusable(&self.path, error)
    }
}

fn unusable(path: &Path, error: io::Error) -> DataDirError {
    DataDirError::Unusable { path: path.to_owned(), cause: Cause::of(&error, path), error }
}

/// A small file in the data directory at `path`, if it exists.
fn existing(path: &Path, name: &str) -> Option<String> {
    read_small(&DataDir::private_of(path).join(name)).ok()
}

fn read_small(path: &Path) -> io::Result<String> {
    Ok(fs::read_to_string(path)?.trim_end().to_owned())
}

/// Makes a directory and those above it, as needed, so that their names survive a power cut as what is put into them does.
fn create_durably(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    create_durably(parent)?;
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made.and_then(|()| File::open(parent)?.sync_all()),
    }
}
/// Restricts the private folder, and each file in it, to its owner, whatever created it and with whatever umask. It logs what others
/// could reach: they may have read it.
fn close_to_others(data_dir: &Path, private: &Path) -> Result<(), DataDirError> {
    let open_to_others = |path: &Path, error: io::Error| {
        let own = (error.kind() == io::ErrorKind::PermissionDenied).then(|| Cause::owned_by_another(path)).flatten();
        match own.unwrap_or_else(|| Cause::of(&error, data_dir)) {
            Cause::Unknown | Cause::Full => DataDirError::OpenToOthers { path: path.to_owned(), error },
            cause => DataDirError::Unusable { path: data_dir.to_owned(), error, cause },
        }
    };
    let metadata = fs::symlink_metadata(private).map_err(|error| open_to_others(private, error))?;
    if !metadata.is_dir() {
        let error = io::Error::other("not a folder");
        return Err(unusable(private, error));
    }
    let close = |path: &Path, mode: u32, found: u32| {
        fs::set_permissions(path, Permissions::from_mode(mode)).map_err(|error| open_to_others(path, error))?;
        if found & OTHERS != 0 {
            tracing::warn!("{path:?} had mode {found:03o}, so others could reach it; it has {mode:03o} now");
        }
        Ok(())
    };
    let found = metadata.permissions().mode() & 0o777;
    if found != PRIVATE_FOLDER {
        close(private, PRIVATE_FOLDER, found)?;
    }
    for entry in fs::read_dir(private).map_err(|error| open_to_others(private, error))? {
        let path = entry.map_err(|error| open_to_others(private, error))?.path();
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let found = metadata.permissions().mode() & 0o777;
        if metadata.is_file() && found & OTHERS != 0 {
            close(&path, PRIVATE_FILE, found)?;
        }
    }
    Ok(())
}

/// The umask may have removed even the owner's rights.
fn for_the_owner_alone(file: &File) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(PRIVATE_FILE))
}

/// The store's file in the private folder.
const DATABASE: &str = "smscope.db";

const PRIVATE_FOLDER: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;
/// All that group and others may have.
const OTHERS: u32 = 0o077;

fn token_file(source: &SourceName) -> String {
    format!("token-{source}")
}

fn random() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn what_was_made_once_stays_and_only_the_owner_can_read_it() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("a/b");
        let source = SourceName::new("smsmode").unwrap();
        let first = DataDir::open(&path).unwrap();
        assert!(DataDir::made_token(&path, &source).is_none());
        let token = first.token(&source).unwrap().reveal().to_owned();
        assert_eq!(token.len(), 43);
        let again = DataDir::open(&path).unwrap();
        assert_eq!(again.token(&source).unwrap().reveal(), token);
        assert_ne!(again.token(&SourceName::new("other").unwrap()).unwrap().reveal(), token);
        assert_eq!(first.instance_id().unwrap(), again.instance_id().unwrap());
        assert_eq!(first.hash_key().unwrap(), again.hash_key().unwrap());
        assert_eq!(DataDir::made_token(&path, &source).unwrap().reveal(), token);
        assert_eq!(DataDir::made_hash_key(&path), first.hash_key().ok());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(first.private()), 0o700);
        for file in fs::read_dir(first.private()).unwrap() {
            let file = file.unwrap().path();
            assert_eq!(mode(&file), 0o600, "{file:?}");
        }
    }

    #[test]
    fn a_folder_that_others_could_enter_is_closed() {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("private")).unwrap();
        fs::set_permissions(folder.path().join("private"), Permissions::from_mode(0o777)).unwrap();
        let opened = DataDir::open(folder.path()).unwrap();
        assert_eq!(fs::metadata(opened.private()).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn files_that_others_could_read_are_closed_and_a_link_instead_of_the_folder_is_rejected() {
        let folder = TempDir::new().unwrap();
        let opened = DataDir::open(folder.path()).unwrap();
        let file = opened.private().join("smscope.db-wal");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o664)).unwrap();
        DataDir::open(folder.path()).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

        let other = TempDir::new().unwrap();
        std::os::unix::fs::symlink(opened.private(), other.path().join("private")).unwrap();
        let error = DataDir::open(other.path()).err().unwrap().to_string();
        assert!(error.contains("not a folder"), "{error}");
    }

    #[test]
    fn one_process_at_a_time() {
        let folder = TempDir::new().unwrap();
        let opened = DataDir::open(folder.path()).unwrap();
        let lock = opened.lock().unwrap();
        assert!(matches!(opened.lock(), Err(DataDirError::InUse { .. })));
        assert!(DataDir::is_in_use(&opened.path));
        drop(lock);
        assert!(!DataDir::is_in_use(&opened.path));
        opened.lock().unwrap();
    }

    /// As on vfat, CIFS and several network file systems.
    #[test]
    fn a_file_system_without_hard_links_is_sufficient() {
        // The filter is that of this thread alone.
        let done = std::thread::spawn(|| {
            let refused = r#"{"it": {"mismatch_action": "allow", "match_action": {"errno": 1}, "filter": [
                {"syscall": "linkat"}]}}"#;
            let machine = std::env::consts::ARCH.try_into().unwrap();
            let filters = seccompiler::compile_from_json(refused.as_bytes(), machine).unwrap();
            seccompiler::apply_filter(&filters["it"]).unwrap();
            let folder = TempDir::new().unwrap();
            fs::write(folder.path().join("a"), "").unwrap();
            fs::hard_link(folder.path().join("a"), folder.path().join("b")).unwrap_err();
            let opened = DataDir::open(folder.path()).unwrap();
            let token = opened.opt_outs_token().unwrap();
            assert_eq!(opened.opt_outs_token().unwrap().reveal(), token.reveal());
        });
        done.join().unwrap();
    }

    #[test]
    fn concurrent_first_reads_of_a_token_give_the_same_one() {
        let folder = TempDir::new().unwrap();
        let opened = DataDir::open(folder.path()).unwrap();
        let made = |_| opened.opt_outs_token().unwrap().reveal().to_owned();
        let tokens: std::collections::BTreeSet<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16).map(|n| scope.spawn(move || made(n))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(tokens.len(), 1);
        assert_eq!(fs::read_dir(opened.private()).unwrap().count(), 1, "no draft is left");
    }

    #[test]
    fn a_folder_without_a_store_is_named_in_full() {
        let folder = TempDir::new().unwrap();
        DataDir::open(folder.path()).unwrap();
        let error = DataDir::must_have_store(folder.path()).err().unwrap().to_string();
        assert!(error.starts_with(&format!("data_dir = {:?}: there is no store; expected", folder.path())), "{error}");
        let error = DataDir::must_have_store(Path::new("nowhere")).err().unwrap().to_string();
        assert!(error.contains(&format!("{:?}", std::env::current_dir().unwrap().join("nowhere"))), "{error}");
        fs::write(folder.path().join("private/smscope.db"), "").unwrap();
        DataDir::must_have_store(folder.path()).unwrap();
    }

    #[test]
    fn a_file_in_its_place_is_named() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "").unwrap();
        let error = DataDir::open(&path).err().unwrap().to_string();
        assert!(error.starts_with("data_dir = ") && error.contains("expected a directory"), "{error}");
    }
}
