//! Reading a body: bounded in bytes and time, before and after each step of decompression, and all bodies together in bytes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::HeaderMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::coding;
use super::response::Rejection;

/// Bytes that the bodies which are being read and decoded may hold together. Without it, as many bodies as there are connections,
/// each at its limit, would be two gigabytes.
const MAX_TOTAL_BYTES: usize = 64 << 20;

/// Bytes that are allocated before they have arrived.
const INITIAL_CAPACITY: usize = 64 << 10;

/// Reads bodies, all together within [`MAX_TOTAL_BYTES`].
pub struct BodyReader {
    limit: usize,
    timeout: Duration,
    memory: Arc<Semaphore>,
}

/// A body, decompressed.
pub struct Body {
    pub bytes: Bytes,
    /// Its bytes of the memory for all bodies, until it is dropped.
    pub _reservation: Reservation,
}

/// Bytes of the memory for all bodies.
pub struct Reservation {
    memory: Arc<Semaphore>,
    held: OwnedSemaphorePermit,
}

impl BodyReader {
    /// Bodies of up to `limit` bytes, also when decompressed, that arrive within `timeout`.
    pub fn new(limit: usize, timeout: Duration) -> Self {
        Self { limit, timeout, memory: Arc::new(Semaphore::new(MAX_TOTAL_BYTES)) }
    }

    /// The whole body, decompressed.
    ///
    /// # Errors
    /// Too large, too slow, broken off, in an encoding that cannot be read, or beyond the memory for all.
    pub async fn read(&self, headers: &HeaderMap, body: Incoming) -> Result<Body, Rejection> {
        let mut reservation = Reservation::new(&self.memory)?;
        if body.size_hint().lower() > self.limit as u64 {
            return Err(Rejection::TooLarge);
        }
        if body.is_end_stream() {
            return Ok(Body { bytes: Bytes::new(), _reservation: reservation });
        }
        let collected = tokio::time::timeout(self.timeout, collect(body, self.limit, &mut reservation)).await;
        let bytes = collected.map_err(|_elapsed| Rejection::TooSlow)??;
        let (bytes, limit) = (coding::decoded(headers, bytes, self.limit)?, self.limit);
        debug_assert!(bytes.len() <= limit);
        reservation.grow_to(bytes.len())?;
        Ok(Body { bytes: bytes.into(), _reservation: reservation })
    }
}

/// Copies it out of the connection's read buffer, which could not be used again while the event waits for the disk.
async fn collect(body: Incoming, limit: usize, reservation: &mut Reservation) -> Result<Vec<u8>, Rejection> {
    let mut bytes =
        Vec::with_capacity(usize::try_from(body.size_hint().lower()).unwrap_or(INITIAL_CAPACITY).min(INITIAL_CAPACITY));
    let mut body = Limited::new(body, limit);
    while let Some(frame) = body.frame().await {
        match frame {
            Err(error) if error.is::<LengthLimitError>() => return Err(Rejection::TooLarge),
            Err(_broken) => return Err(Rejection::BrokenBody),
            Ok(frame) => {
                if let Ok(data) = frame.into_data() {
                    reservation.grow_to(bytes.len() + data.len())?;
                    bytes.extend_from_slice(&data);
                }
            }
        }
    }
    Ok(bytes)
}

impl Reservation {
    fn new(memory: &Arc<Semaphore>) -> Result<Self, Rejection> {
        let held = memory.clone().try_acquire_many_owned(0).map_err(|_| Rejection::Unavailable)?;
        Ok(Self { memory: memory.clone(), held })
    }

    /// Reserves so many bytes in all.
    fn grow_to(&mut self, bytes: usize) -> Result<(), Rejection> {
        let more = u32::try_from(bytes.saturating_sub(self.held.num_permits())).map_err(|_| Rejection::TooLarge)?;
        let permit = self.memory.clone().try_acquire_many_owned(more).map_err(|_| Rejection::Unavailable)?;
        self.held.merge(permit);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bodies_together_have_one_memory_and_give_it_back() {
        let memory = Arc::new(Semaphore::new(100));
        let reservation = || Reservation::new(&memory).unwrap();
        let (mut one, mut other) = (reservation(), reservation());
        assert!(one.grow_to(40).and_then(|()| one.grow_to(60)).is_ok());
        assert!(one.grow_to(10).is_ok(), "what it holds it holds");
        assert_eq!(other.grow_to(41), Err(Rejection::Unavailable));
        assert_eq!(other.grow_to(40), Ok(()));
        drop(one);
        assert_eq!(other.grow_to(100), Ok(()));
    }
}
