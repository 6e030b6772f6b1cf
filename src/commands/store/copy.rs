//! `smscope store copy`: the store moves into the database of a fleet, or back.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;

use crate::commands::Exit;
use crate::commands::progress_bar::ProgressBar;
use crate::commands::terminal::print;
use crate::config::{Config, Process};
use crate::data_dir::{DataDir, Lock};
use crate::serve;
use crate::settings::Postgres;
use crate::store::copy::{self, Copied, CopyError, End, Place};
use crate::store::{Connector, Store};

/// How long to wait for the last replica to be gone.
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Where the store is: a data directory, or the URL of a database
    #[arg(long, value_name = "DIR or URL")]
    pub from: String,
    /// Where it is copied to, which has to be empty: the other of the two
    #[arg(long, value_name = "URL or DIR")]
    pub to: String,
}

/// Copies a store while no smscope uses it. Run again, it goes on where it was.
///
/// # Errors
/// Something uses one of the two, the target is not empty, or one cannot be read or written.
pub fn run(config: &Config, arguments: &Copy) -> Result<(), Exit> {
    let Copy { from, to } = arguments;
    let copied = match (is_url(from), is_url(to)) {
        (false, true) => {
            let source = DataDirectory::existing(Path::new(from))?;
            let database = database("--to", to, config)?;
            let mut target = fleet(&database)?;
            copied(&mut *source.open()?, &mut *target)?
        }
        (true, false) => {
            let database = database("--from", from, config)?;
            let mut source = fleet(&database)?;
            let origin = match source.origin() {
                Err(CopyError::Waiting(_)) => {
                    drop(source);
                    process_inbox(config, &database)?;
                    source = fleet(&database)?;
                    source.origin()
                }
                origin => origin,
            };
            let origin = origin.map_err(Exit::failure)?;
            let target = DataDirectory::locked(PathBuf::from(to))?;
            target.data_dir.adopt(origin.instance, &origin.hash_key)?;
            copied(&mut *source, &mut *target.open()?)?
        }
        _ => {
            return Err(Exit::usage("--from and --to: expected a data directory and the URL of a PostgreSQL database"));
        }
    };
    print(&summary(&copied));
    Ok(())
}

fn is_url(text: &str) -> bool {
    ["postgresql://", "postgres://"].iter().any(|scheme| text.starts_with(scheme))
}

/// The database that a flag names: that of the configuration where it is the same one.
fn database(flag: &str, url: &str, config: &Config) -> Result<Postgres, Exit> {
    let named = Postgres::of_flag(flag, url, &Process).map_err(Exit::configuration)?;
    let configured = config.store.postgres.as_ref();
    let is_same = |other: &&Postgres| named.url.password.is_none() && other.url.to_string() == named.url.to_string();
    Ok(configured.filter(is_same).cloned().unwrap_or(named))
}

/// Takes the lease of a fleet, for which its last replica may have to be gone.
fn fleet(database: &Postgres) -> Result<Box<dyn End>, Exit> {
    let given_up = Instant::now() + PATIENCE;
    loop {
        match copy::open(Place::Fleet(Connector::new(database))) {
            Err(CopyError::InUse) if Instant::now() < given_up => std::thread::sleep(Duration::from_millis(500)),
            opened => return opened.map_err(Exit::failure),
        }
    }
}

/// Processes what was acknowledged by the last replicas, and no leader has processed.
fn process_inbox(config: &Config, database: &Postgres) -> Result<(), Exit> {
    let (store, end) = Store::join(Connector::new(database), serve::store_settings(config)).map_err(Exit::failure)?;
    let given_up = Instant::now() + PATIENCE;
    let processed = loop {
        match store.blocking().process_inbox() {
            Err(_) if Instant::now() < given_up => std::thread::sleep(Duration::from_millis(500)),
            processed => break processed,
        }
    };
    drop(store);
    end.wait();
    processed.map_err(Exit::failure)
}

/// A data directory that nothing else uses.
struct DataDirectory {
    data_dir: DataDir,
    _lock: Lock,
}

impl DataDirectory {
    fn existing(path: &Path) -> Result<Self, Exit> {
        DataDir::must_have_store(path)?;
        Self::locked(path.to_owned())
    }

    fn locked(path: PathBuf) -> Result<Self, Exit> {
        let data_dir = DataDir::open(&path)?;
        let lock = data_dir.lock()?;
        Ok(Self { data_dir, _lock: lock })
    }

    fn open(&self) -> Result<Box<dyn End>, Exit> {
        let (instance, hash_key) = (self.data_dir.instance_id()?, self.data_dir.hash_key()?);
        copy::open(Place::Embedded { folder: self.data_dir.private(), instance, hash_key }).map_err(Exit::failure)
    }
}

fn copied(from: &mut dyn End, to: &mut dyn End) -> Result<Copied, Exit> {
    let bar = ProgressBar::new();
    let copied = copy::copy(from, to, |table, done, of| {
        bar.show(table.name(), done as f64 / of.max(1) as f64);
        true
    });
    bar.end();
    copied.map_err(Exit::failure)
}

fn summary(copied: &Copied) -> String {
    let rows = copied.iter().map(|(table, count)| format!("{:<18}{count:>12}\n", table.name()));
    rows.collect::<String>()
        + "complete: rows and counters are the same in both; the source is unchanged, and must not be used any more\n"
}
