//! shim.c, compiled, and the file by which a test controls it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::support::Launch;

/// What the shim does to its process from now on.
#[derive(Clone, Copy)]
pub enum Control {
    /// Seconds that the clock is ahead.
    Ahead = 0,
    /// Milliseconds that each sync takes longer.
    SyncDelay = 1,
    /// An errno, or 0.
    WriteError = 2,
    SyncError = 3,
    ReadError = 4,
}

pub const EIO: i64 = 5;
pub const ENOSPC: i64 = 28;
pub const EROFS: i64 = 30;

pub struct Shim {
    control: File,
}

impl Shim {
    /// One that watches the data directory of a launch, and the launch under its control.
    pub fn under(launch: Launch) -> (Launch, Self) {
        let path = launch.home.path().join("shim-control");
        let control = OpenOptions::new().create(true).truncate(true).write(true).open(&path).unwrap();
        control.set_len(4096).unwrap();
        let folder = launch.data_dir();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let variables =
            [("LD_PRELOAD", text(library())), ("SHIM_CONTROL", text(&path)), ("SHIM_FOLDER", text(&folder))];
        (launch.envs(variables), Self { control })
    }

    pub fn set(&self, control: Control, value: i64) {
        self.control.write_all_at(&value.to_ne_bytes(), control as u64 * 8).unwrap();
    }
}

/// Compiled once a run. There is a C compiler: SQLite is built with it.
fn library() -> &'static Path {
    static BUILT: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_folder, path) = BUILT.get_or_init(|| {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("shim.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reliability/shim.c");
        let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
        let built = Command::new(compiler)
            .args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o"])
            .args([&*path, Path::new(source)])
            .arg("-ldl")
            .status();
        assert!(built.is_ok_and(|status| status.success()), "shim.c was not compiled");
        (folder, path)
    });
    path
}
