//! Where the programs of PostgreSQL are, and the user that runs them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::tools::{built, on_path, require_tool};

/// `nobody`: a server does not start as root, and Debian has this user on every machine.
const UNPRIVILEGED: u32 = 65_534;

/// The oldest version that smscope works with, the system's, and the newest ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V14,
    V17,
    V18,
    /// What Debian packages, with all programs: the others have no pg_basebackup.
    System,
}

impl Version {
    pub const ALL: [Self; 4] = [Self::V14, Self::System, Self::V17, Self::V18];

    /// The folder with initdb, pg_ctl and postgres; `None` if it is missing and the test is skipped.
    pub fn programs(self) -> Option<PathBuf> {
        match self.packaged() {
            None => require_tool("PostgreSQL", system(), "Debian has it in the package postgresql"),
            Some(major) => {
                let lock = include_bytes!("../../postgres/package-lock.json");
                let postgres = built("postgres", lock, &format!("{major}/bin/postgres"));
                let programs = postgres.and_then(|file| Some(file.parent()?.to_owned()));
                require_tool(&format!("PostgreSQL {major}"), programs, "tests/postgres/setup.sh installs it")
            }
        }
    }

    /// The name under which tests/postgres/setup.sh installs it.
    fn packaged(self) -> Option<&'static str> {
        match self {
            Self::V14 => Some("14"),
            Self::V17 => Some("17"),
            Self::V18 => Some("18"),
            Self::System => None,
        }
    }
}

/// The newest version that the system has.
fn system() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let newest = versions.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()).max()?;
    Some(PathBuf::from(format!("/usr/lib/postgresql/{newest}/bin"))).filter(|folder| folder.join("postgres").is_file())
}

/// The client, by which tests set servers up.
pub fn psql() -> Option<PathBuf> {
    let packaged = system().map(|folder| folder.join("psql")).filter(|file| file.is_file());
    require_tool("psql", packaged.or_else(|| on_path("psql")), "Debian has it in the package postgresql-client")
}

pub fn runs_as_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// A command that runs without root's rights, in a directory that anyone may enter.
pub fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/").env("HOME", "/").env("LC_ALL", "C.UTF-8");
    if runs_as_root() {
        command.uid(UNPRIVILEGED).gid(UNPRIVILEGED);
    }
    command
}

/// Hands a folder and all that is in it to the user of [`unprivileged`].
pub fn hand_over(folder: &Path) {
    if runs_as_root() {
        let owner = format!("{UNPRIVILEGED}:{UNPRIVILEGED}");
        let status = Command::new("chown").args(["-R", &owner]).arg(folder).status().unwrap();
        assert!(status.success(), "{}", folder.display());
    }
}
