//! Whether what is written is what a restart would find.
//!
//! A process keeps writing to files that somebody has deleted or moved, or whose folder has been mounted over: every call
//! succeeds, and all of it is lost with the process. So each transaction checks whether the names still lead to the files.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
#[cfg(test)]
use std::sync::atomic::{AtomicI64, Ordering};

/// The database and its write-ahead log, as they were opened.
pub struct Files {
    database: Opened,
    log: Opened,
    /// How many more times they are found in place; for ever if negative.
    #[cfg(test)]
    pub found: AtomicI64,
}

struct Opened {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl Files {
    /// To be called once both are open.
    pub fn of(database: &Path) -> io::Result<Self> {
        let log = PathBuf::from(format!("{}-wal", database.display()));
        let opened = |path: PathBuf| Ok::<_, io::Error>(Opened { identity: identity(&path)?, path });
        Ok(Self {
            database: opened(database.to_owned())?,
            log: opened(log)?,
            #[cfg(test)]
            found: AtomicI64::new(-1),
        })
    }

    /// Whether both are where they were.
    pub fn are_in_place(&self) -> bool {
        #[cfg(test)]
        if self.found.load(Ordering::Relaxed) >= 0 && self.found.fetch_sub(1, Ordering::Relaxed) <= 0 {
            self.found.store(0, Ordering::Relaxed);
            return false;
        }
        [&self.database, &self.log].iter().all(|file| identity(&file.path).is_ok_and(|found| found == file.identity))
    }

    /// Bytes of the write-ahead log.
    pub fn log_size(&self) -> u64 {
        fs::metadata(&self.log.path).map_or(0, |log| log.len())
    }

    /// Whether the disk takes more than a transaction or two: writes a file, syncs it and deletes it again.
    pub fn have_room(&self) -> io::Result<()> {
        let path = self.database.path.with_extension("probe");
        let written = write_probe(&path);
        let _may_not_be_there = fs::remove_file(&path);
        written
    }
}

/// Far more than a transaction, far less than anybody would miss.
const PROBE: usize = 4 << 20;

fn write_probe(path: &Path) -> io::Result<()> {
    const PIECE: &[u8] = &[0x5a; 64 << 10];
    let mut file: File = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?;
    for _ in 0..PROBE / PIECE.len() {
        file.write_all(PIECE)?;
    }
    file.sync_all()
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}
