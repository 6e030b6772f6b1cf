//! Whether what is written is what a restart would find.
//!
//! A process keeps writing to files that somebody has deleted or moved, or whose folder has been mounted over: every call
//! succeeds, and all of it is gone with the process. So each transaction looks whether the names still lead to the files.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The database and its write-ahead log, as they were opened.
pub struct Files([Opened; 2]);

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
        Ok(Self([opened(database.to_owned())?, opened(log)?]))
    }

    /// Whether both are where they were.
    pub fn are_in_place(&self) -> bool {
        self.0.iter().all(|file| identity(&file.path).is_ok_and(|identity| identity == file.identity))
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}
