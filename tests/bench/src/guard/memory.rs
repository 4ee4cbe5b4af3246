//! How soon a proxy listens, and the memory it has in use, idle and with many tunnels.

use std::net::SocketAddr;
use std::time::Duration;

use super::line::{Line, Way};
use super::proxies::{Kind, Proxy};
use super::sheet::{Sheet, median, quantile};
use super::turn;

const TUNNELS: usize = 1000;

/// Requests before a proxy counts as idle: it has then done everything once.
const FIRST: usize = 20;

/// Time in which a proxy comes to rest.
const REST: Duration = Duration::from_millis(500);

/// Measures the time from the start of the process to the first connection it takes.
pub(super) fn start(rounds: usize, upstream: SocketAddr) -> anyhow::Result<Sheet> {
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); Kind::ALL.len()];
    for _ in 0..rounds {
        for (kind, times) in Kind::ALL.into_iter().zip(&mut times) {
            times.push(Proxy::start(kind, upstream)?.start.as_secs_f64() * 1000.0);
        }
    }
    let rows = Kind::ALL.into_iter().zip(&mut times);
    let rows = rows.map(|(kind, times)| (kind.name(), vec![median(times), quantile(times, 1.0)])).collect();
    Ok(Sheet { title: "Start to listening".to_owned(), columns: &["median ms", "worst"], rows })
}

/// Measures the memory of fresh processes.
pub(super) async fn run(rounds: usize, upstream: SocketAddr) -> anyhow::Result<Sheet> {
    let mut sizes: Vec<[Vec<f64>; 2]> = vec![Default::default(); Kind::ALL.len()];
    for _ in 0..rounds {
        for (kind, [idle, full]) in Kind::ALL.into_iter().zip(&mut sizes) {
            let proxy = Proxy::start(kind, upstream)?;
            let (before, after) = turn(kind.name(), sizes_of(&proxy, upstream)).await?;
            idle.push(before);
            full.push(after);
        }
    }
    let rows = Kind::ALL.into_iter().zip(&mut sizes);
    let rows = rows.map(|(kind, [idle, full])| (kind.name(), vec![median(idle), median(full)])).collect();
    let columns = &["idle MB", "1000 tunnels"];
    Ok(Sheet { title: "Memory (resident)".to_owned(), columns, rows })
}

async fn sizes_of(proxy: &Proxy, upstream: SocketAddr) -> anyhow::Result<(f64, f64)> {
    let way = Way { proxy: Some(proxy.address), upstream, keeps: false, tls: None };
    for _ in 0..FIRST {
        way.open().await?.ask(&way.get("/")).await?;
    }
    tokio::time::sleep(REST).await;
    let idle = proxy.resident()?;
    let mut tunnels: Vec<Line> = Vec::with_capacity(TUNNELS);
    let request = way.origin("/");
    for _ in 0..TUNNELS {
        let mut line = way.tunnel().await?;
        line.ask(&request).await?;
        tunnels.push(line);
    }
    tokio::time::sleep(REST).await;
    let full = proxy.resident()?;
    drop(tunnels);
    Ok((idle, full))
}
