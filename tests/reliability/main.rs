//! What happens when things break: the disk, the power, the far end, the clock, too much of everything.
//!
//! Each test has a short form, for every day. `make soak` runs the long ones; docs/reliability.md has their figures.

mod damage;
mod deluge;
mod disk;
mod far_end;
mod floods;
mod hostile;
mod lossy_disk;
mod power;
mod shim;
#[path = "../support/mod.rs"]
mod support;
mod syscalls;
mod time;
mod upgrade;
