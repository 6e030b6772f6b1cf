//! A store that is full of messages.

use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use crate::load::{self, Message};
use crate::server::{Program, Server, free_address};
use crate::{Result, data, database, median, stored_bytes};

const SEARCHES: usize = 5;
/// Between two looks at how far the export is.
const LOOK: Duration = Duration::from_millis(20);

pub struct Stored {
    directory: TempDir,
    one: Message,
    pub resident_megabytes: f64,
    pub bytes: f64,
}

impl Stored {
    /// All of them pending, and their log records waiting for a collector.
    pub async fn fill(smscope: &Program, connections: usize, messages: usize) -> Result<Self> {
        let directory = data()?;
        let server = smscope.exporting_to(free_address()?).start(directory.path())?;
        let one = load::fill(&server, connections, messages).await?;
        let (resident_megabytes, _) = server.resident_megabytes();
        server.terminate()?;
        let bytes = stored_bytes(directory.path())?;
        Ok(Self { directory, one, resident_megabytes, bytes })
    }

    /// How many log records per second are exported of those that wait, once, to a collector that takes them.
    pub async fn export(&self, smscope: &Program, records: usize) -> Result<f64> {
        let collector = Server::bare("")?;
        let server = smscope.exporting_to(collector.address).start(self.directory.path())?;
        let began = Instant::now();
        let database = database(self.directory.path());
        let database = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let mut cursor = database.prepare("SELECT position FROM cursors")?;
        while cursor.query_row([], |row| row.get::<_, i64>(0))? < records as i64 {
            tokio::time::sleep(LOOK).await;
        }
        let rate = records as f64 / began.elapsed().as_secs_f64();
        server.terminate()?;
        Ok(rate)
    }

    /// A smscope on it, and after how many milliseconds it has answered a webhook.
    pub async fn start(&self, smscope: &Program) -> Result<(Server, f64)> {
        let started = Instant::now();
        let server = smscope.start(self.directory.path())?;
        load::once(&server).await?;
        Ok((server, milliseconds(started.elapsed())))
    }

    /// What the commands that search it take, each as a process of its own.
    pub fn search(&self, smscope: &Program) -> Result<Vec<(&'static str, f64)>> {
        let Message { id, recipient, reference } = &self.one;
        let searches: [(&str, &[&str]); 4] = [
            ("`smscope url`, which searches nothing, ms", &["url"]),
            ("`smscope show`, ms", &["show", id]),
            ("`smscope events --recipient`, ms", &["events", "--recipient", recipient]),
            ("`smscope events --ref-client`, ms", &["events", "--ref-client", reference]),
        ];
        let mut measured = Vec::new();
        for (what, arguments) in searches {
            let mut times = Vec::new();
            for _ in 0..SEARCHES {
                let started = Instant::now();
                smscope.run(self.directory.path(), arguments)?;
                times.push(milliseconds(started.elapsed()));
            }
            measured.push((what, median(&times)));
        }
        Ok(measured)
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
