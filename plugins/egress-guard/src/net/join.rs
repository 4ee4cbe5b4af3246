//! Joins two streams in both directions until both end, one breaks, or nothing moves for too long.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;

use super::copy::pump;
use super::stream::Stream;

/// How a joined pair ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Both sides said they were done.
    Closed,
    /// One side broke.
    Broken,
    /// Nothing moved for too long.
    Idle,
}

/// Counts bytes in both directions and remembers when the last one moved.
#[derive(Debug)]
pub struct Activity {
    start: Instant,
    last_ms: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
}

impl Default for Activity {
    fn default() -> Self {
        Self { start: Instant::now(), last_ms: 0.into(), up: 0.into(), down: 0.into() }
    }
}

impl Activity {
    /// Notes bytes that went from the bottle to the upstream.
    pub fn add_up(&self, count: usize) {
        self.add(&self.up, count);
    }

    /// Notes bytes that went from the upstream to the bottle.
    pub fn add_down(&self, count: usize) {
        self.add(&self.down, count);
    }

    /// Notes bytes in both directions, of something that was counted by itself.
    pub fn add_both(&self, up: u64, down: u64) {
        self.up.fetch_add(up, Ordering::Relaxed);
        self.down.fetch_add(down, Ordering::Relaxed);
    }

    /// Returns bytes up and down.
    pub fn bytes(&self) -> (u64, u64) {
        (self.up.load(Ordering::Relaxed), self.down.load(Ordering::Relaxed))
    }

    /// Returns the time since the start.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Waits until nothing has moved for `limit`.
    pub async fn idle(&self, limit: Duration) {
        loop {
            let last = Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
            let quiet = self.start.elapsed().saturating_sub(last);
            match limit.checked_sub(quiet) {
                None | Some(Duration::ZERO) => return,
                Some(rest) => tokio::time::sleep(rest).await,
            }
        }
    }

    fn add(&self, counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(now, Ordering::Relaxed);
    }
}

/// The two ends of a tunnel.
#[derive(Debug, Clone, Copy)]
pub struct Pair<'a> {
    /// The side of the bottle.
    pub client: &'a Stream,
    /// The other side.
    pub upstream: &'a Stream,
}

/// Joins both ends. There is no cap on the whole time, only on the time without a byte.
///
/// `opening` gives what the client's side begins with, once it is fit to be sent; until then nothing goes up, while
/// an upstream that speaks first is already heard. `sent` is told of bytes that have gone up.
pub async fn join<E>(
    pair: Pair<'_>,
    (activity, sent): (&Activity, impl Fn(usize)),
    idle: Duration,
    opening: impl Future<Output = Result<BytesMut, E>>,
) -> Result<End, E> {
    let sent = |count| {
        activity.add_up(count);
        sent(count);
    };
    let up = async {
        let first = opening.await.map_err(Stop::Opening)?;
        pair.upstream.write_all(&first).await.map_err(|_| Stop::Broken)?;
        sent(first.len());
        drop(first);
        pump(pair.client, pair.upstream, sent).await.map_err(|_| Stop::Broken)
    };
    let down = async {
        pump(pair.upstream, pair.client, |count| activity.add_down(count)).await.map_err(|_| Stop::Broken)
    };
    let both = async { tokio::try_join!(up, down) };
    tokio::select! {
        ended = both => match ended {
            Ok(_) => Ok(End::Closed),
            Err(Stop::Broken) => Ok(End::Broken),
            Err(Stop::Opening(error)) => Err(error),
        },
        () = activity.idle(idle) => Ok(End::Idle),
    }
}

/// Why a direction stopped before its end.
enum Stop<E> {
    Broken,
    Opening(E),
}
