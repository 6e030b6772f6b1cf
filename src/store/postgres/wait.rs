//! To wait on a thread for what tasks do.

use std::pin::{Pin, pin};

use tokio::runtime::{Handle, Runtime};

/// Blocks the calling thread, which must not be one that runs tasks. Tokio's own `block_on` is compiled for each future, of which there are
/// a hundred here: as a trait object they share one.
pub trait Wait {
    fn drive(&self, work: Pin<&mut dyn Future<Output = ()>>);

    /// What `work` gives.
    fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        let mut done = None;
        self.drive(pin!(async { done = Some(work.await) }));
        done.expect("it was driven to its end")
    }
}

impl Wait for Handle {
    fn drive(&self, work: Pin<&mut dyn Future<Output = ()>>) {
        self.block_on(work);
    }
}

impl Wait for Runtime {
    fn drive(&self, work: Pin<&mut dyn Future<Output = ()>>) {
        self.block_on(work);
    }
}
