//! Work for a call ends when the host wants the call to end.

use std::future::Future;

use claude_bottle_plugin_api::{Call, Failure, Result};

use crate::fd_reader::readable;

/// Waits until the call should end; for ever when the host cannot cancel it.
pub async fn cancelled(call: &Call) -> Failure {
    if !call.cancelled() {
        let watched = match call.cancel_fd() {
            Some(fd) => readable(fd).await.is_ok(),
            None => false,
        };
        if !watched {
            std::future::pending::<()>().await;
        }
    }
    Failure::cancelled()
}

/// Does work that may be dropped half-way, unless the call should end.
///
/// # Errors
/// Fails as the work does, and when the call is cancelled.
pub async fn unless_cancelled<T>(call: &Call, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        biased;
        done = work => done,
        failure = cancelled(call) => Err(failure),
    }
}
