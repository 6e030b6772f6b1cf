//! The values before a change, stored in the private folder: their URLs contain tokens.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::Change;

const NAME: &str = "connect-undo.json";

/// The file: the changes of each `--apply`, the last one last.
pub struct Undo {
    path: PathBuf,
}

impl Undo {
    /// In the private folder of a data directory.
    pub fn of(private: &Path) -> Self {
        Self { path: private.join(NAME) }
    }

    /// The last changes; empty if there are none to undo.
    ///
    /// # Errors
    /// The file cannot be read, or has another format.
    pub fn last(&self) -> io::Result<Vec<Change>> {
        Ok(self.all()?.pop().unwrap_or_default())
    }

    /// Stores changes, before they are made.
    ///
    /// # Errors
    /// The file cannot be written: the changes should not be made.
    pub fn remember(&self, changes: &[Change]) -> io::Result<()> {
        let mut all = self.all()?;
        all.push(changes.to_vec());
        self.write(&all)
    }

    /// Removes the last changes, once they have been undone.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn forget_last(&self) -> io::Result<()> {
        let mut all = self.all()?;
        all.pop();
        self.write(&all)
    }

    fn all(&self) -> io::Result<Vec<Vec<Change>>> {
        match fs::read(&self.path) {
            Ok(text) => Ok(serde_json::from_slice(&text)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Atomic.
    fn write(&self, all: &[Vec<Change>]) -> io::Result<()> {
        let draft = self.path.with_extension("draft");
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&draft)?;
        file.write_all(&serde_json::to_vec_pretty(all)?)?;
        file.sync_all()?;
        fs::rename(&draft, &self.path)?;
        self.path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }
}
