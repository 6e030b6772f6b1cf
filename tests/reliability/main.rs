//! What happens when things break: the disk, the power, the far end, the clock, too much of everything.
//!
//! Each test has a short form, for every day. `make soak` runs the long ones; docs/reliability.md has their figures.

mod damage;
mod deluge;
mod disk;
mod far_end;
mod floods;
mod hostile;
#[path = "../end_to_end/load.rs"]
#[allow(dead_code, reason = "it is shared with the tests of crashes")]
mod load;
mod lossy_disk;
#[path = "../end_to_end/peers/mod.rs"]
#[allow(dead_code, unused_imports, reason = "a part of it is used")]
mod peers;
mod power;
#[path = "../end_to_end/provider.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod provider;
mod shim;
mod sink;
#[path = "../support/mod.rs"]
mod support;
mod syscalls;
mod time;
mod upgrade;

use support::{exposition, tools};
