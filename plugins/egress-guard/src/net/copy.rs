//! Moves one direction of a joined pair to its end.

use std::io;

use super::splice::{self, Moved};
use super::stream::Stream;

/// Bytes after which a direction goes through a pipe: a short one is not worth the making of it.
const COPIED_FIRST: usize = 256 * 1024;

/// Bytes after which others get their turn: as long as both sockets are ready, nothing else here would wait.
const SHARE: usize = 1024 * 1024;

/// Moves bytes until the end, which is passed on so that a half-closed connection stays one.
///
/// Each piece is noted once the receiver's socket has it.
pub(super) async fn pump(from: &Stream, to: &Stream, note: impl Fn(usize)) -> io::Result<()> {
    if !ends_early(from, to, &note).await? {
        // In memory of its own, so that the many tunnels that never come here are smaller.
        Box::pin(go_on(from, to, &note)).await?;
    }
    to.shutdown_write();
    Ok(())
}

/// Copies the first bytes, and tells whether they were all.
async fn ends_early(from: &Stream, to: &Stream, note: &impl Fn(usize)) -> io::Result<bool> {
    let mut total = 0;
    while total < COPIED_FIRST {
        match from.forward(to, note).await? {
            0 => return Ok(true),
            count => total += count,
        }
    }
    Ok(false)
}

/// Moves the rest through a pipe, or copies it too where the kernel does not splice.
async fn go_on(from: &Stream, to: &Stream, note: &impl Fn(usize)) -> io::Result<()> {
    let mut splices = true;
    let mut share = 0;
    loop {
        let moved = match splices {
            true => splice::forward(from, to, note).await?,
            false => Moved::Bytes(from.forward(to, note).await?),
        };
        match moved {
            Moved::Bytes(0) => return Ok(()),
            Moved::Bytes(count) => share += count,
            Moved::Unsupported => splices = false,
        }
        if share >= SHARE {
            share = 0;
            tokio::task::yield_now().await;
        }
    }
}
