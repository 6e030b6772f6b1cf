//! What a process uses, as Linux counts it.

use std::collections::HashMap;
use std::fs;
use std::iter::Sum;
use std::time::{Duration, Instant};

use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;

use crate::Result;

/// Since the start of the process.
pub struct Usage {
    process: u32,
    at: Instant,
    cpu: Duration,
    bytes_written: f64,
    /// Voluntary context switches by thread: each is a wait that ended.
    wakeups: HashMap<String, f64>,
}

/// Between two moments.
#[derive(Default)]
pub struct Used {
    pub time: Duration,
    pub cpu: Duration,
    pub bytes_written: f64,
    pub wakeups: f64,
}

impl Usage {
    pub fn of(process: u32) -> Result<Self> {
        let mut wakeups = HashMap::new();
        for thread in fs::read_dir(format!("/proc/{process}/task"))? {
            let thread = thread?.file_name().into_string().unwrap_or_default();
            // A thread may have ended in between.
            let status = fs::read_to_string(format!("/proc/{process}/task/{thread}/status")).unwrap_or_default();
            wakeups.insert(thread, field(&status, "voluntary_ctxt_switches:"));
        }
        let cpu = clock_getcpuclockid(Pid::from_raw(process.try_into()?))?.now()?;
        let io = fs::read_to_string(format!("/proc/{process}/io"))?;
        Ok(Self { process, at: Instant::now(), cpu: cpu.into(), bytes_written: field(&io, "write_bytes:"), wakeups })
    }

    /// What was used from then until now.
    pub fn until_now(&self) -> Result<Used> {
        let now = Self::of(self.process)?;
        let wakeups = now.wakeups.iter().map(|(thread, count)| count - self.wakeups.get(thread).unwrap_or(&0.0));
        Ok(Used {
            time: now.at - self.at,
            cpu: now.cpu - self.cpu,
            bytes_written: now.bytes_written - self.bytes_written,
            wakeups: wakeups.sum(),
        })
    }
}

impl Used {
    pub fn wakeups_per_second(&self) -> f64 {
        self.wakeups / self.time.as_secs_f64()
    }
}

/// Of processes at the same time.
impl Sum for Used {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            time: sum.time.max(one.time),
            cpu: sum.cpu + one.cpu,
            bytes_written: sum.bytes_written + one.bytes_written,
            wakeups: sum.wakeups + one.wakeups,
        })
    }
}

/// Resident memory in MB: now, and at its peak.
pub fn resident_megabytes(process: u32) -> (f64, f64) {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let [now, peak] = ["VmRSS:", "VmHWM:"].map(|name| field(&status, name) * 1024.0 / 1e6);
    (now, peak)
}

fn field(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|value| value.parse().ok()).unwrap_or(f64::NAN)
}
