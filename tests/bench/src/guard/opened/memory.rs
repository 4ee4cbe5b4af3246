//! The memory that a proxy which opens tunnels has in use: idle, with many tunnels, and after everything else was measured.

use std::time::Duration;

use super::proxies::Opened;
use crate::guard::line::Line;
use crate::guard::{Measured, turn};

/// What the figures of a row are.
pub(super) const COLUMNS: &[&str] = &["idle MB", "400 tunnels", "kB a tunnel", "after all of it"];

/// Tunnels that are open at a time.
const TUNNELS: usize = 400;

/// Requests before a proxy counts as idle: it has then done everything once.
const FIRST: usize = 20;

/// Time in which a proxy comes to rest.
const REST: Duration = Duration::from_millis(500);

/// Measures a proxy that was just started: idle, with open tunnels, and what each of these takes.
pub(super) async fn at_first(proxy: &Opened, measured: &Measured) -> anyhow::Result<Vec<f64>> {
    turn(measured.name, async {
        for _ in 0..FIRST {
            asked(measured).await?;
        }
        tokio::time::sleep(REST).await;
        let idle = proxy.resident()?;
        let mut tunnels = Vec::with_capacity(TUNNELS);
        for _ in 0..TUNNELS {
            tunnels.push(asked(measured).await?);
        }
        tokio::time::sleep(REST).await;
        let full = proxy.resident()?;
        drop(tunnels);
        Ok(vec![idle, full, (full - idle) * 1000.0 / TUNNELS as f64])
    })
    .await
}

/// Measures it once more when it has come to rest.
pub(super) async fn after(proxy: &Opened, measured: &Measured) -> anyhow::Result<f64> {
    tokio::time::sleep(REST).await;
    turn(measured.name, asked(measured)).await?;
    proxy.resident()
}

/// Returns a tunnel through which one request went.
async fn asked(measured: &Measured) -> anyhow::Result<Line> {
    let mut line = measured.way.tunnel().await?;
    line.ask(&measured.way.origin("/")).await?;
    Ok(line)
}
