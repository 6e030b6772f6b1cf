//! Connections to the database: what all of them have in common.

use std::fs::{self, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::store::OpenError;

/// Page cache of the writer's connection, allocated on demand. Twice of it was a quarter more memory at full load (docs/performance.md).
const CACHE_KIB: i64 = 8 << 10;

/// Bytes of a page.
pub const PAGE_SIZE: i64 = 1_024;

/// How long to wait for a lock of another connection.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The database's name in its folder.
pub const DATABASE: &str = "smscope.db";

/// Opens the database of a folder for reading, in use or not.
pub fn connect_to_read(folder: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(folder.join(DATABASE), flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Opens a connection with the settings that all of ours share.
pub fn connect(path: &Path) -> Result<Connection, OpenError> {
    make_private(path)?;
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Of a database that is made now: a commit writes whole pages, and a few bytes of each are what it changes.
    connection.pragma_update(None, "page_size", PAGE_SIZE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // What is deleted is overwritten with zeros, on its page and where a page is given back.
    connection.pragma_update(None, "secure_delete", "ON")?;
    // Checkpoints are the checkpointer's; the limit is what the WAL file shrinks to after a great burst. It lies well above what
    // checkpoint::TOO_LONG keeps it to: to cut the file takes a commit 20 ms and more.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", 256 << 20)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Makes the file for its owner alone, whatever the umask, before there is anything in it. SQLite's other files get its mode.
fn make_private(path: &Path) -> std::io::Result<()> {
    // One that is there is not opened: closing it would take SQLite's locks on it from other connections of this process.
    match OpenOptions::new().create_new(true).write(true).mode(0o600).open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => fs::set_permissions(path, Permissions::from_mode(0o600)),
    }
}
