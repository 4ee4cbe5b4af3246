//! What the egress guard costs beside squid and tinyproxy, which do the same job in the same run, and where tunnels are opened beside
//! squid with `ssl-bump` and mitmdump.
//!
//! Everything stays on loopback: one upstream and one client in this process, and the proxies as processes. Each allows
//! the upstream's address and port alone and logs each request. The address is written out, so that no lookup is in it.

mod caught;
mod dlp;
mod latency;
mod line;
mod memory;
mod opened;
mod proxies;
mod rates;
mod sheet;
mod targets;
mod throughput;
mod upstream;

use std::future::Future;
use std::time::Duration;

use anyhow::Context;

use line::Way;
use proxies::{Kind, Proxy};
pub(crate) use sheet::Sheet;

/// Longest time of one turn; one that hangs is an error and no figure.
const TURN: Duration = Duration::from_secs(60);

/// A way whose cost is measured.
#[derive(Clone, Copy)]
struct Measured {
    name: &'static str,
    way: Way,
}

/// Measures everything, by subject; `rounds` scales how often.
pub(crate) fn run(rounds: usize) -> anyhow::Result<Vec<(&'static str, Sheet)>> {
    let caught = caught(rounds)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let upstream = upstream::serve().await?;
        let mut sheets = vec![memory::start(rounds, upstream)?];
        sheets.push(memory::run(rounds.div_ceil(5), upstream).await?);
        let proxies = Kind::ALL.map(|kind| Proxy::start(kind, upstream).map(|proxy| (kind, proxy)));
        let proxies: Vec<(Kind, Proxy)> = proxies.into_iter().collect::<anyhow::Result<_>>()?;
        let mut all =
            vec![Measured { name: "direct", way: Way { proxy: None, upstream, keeps: true, tls: None } }];
        all.extend(proxies.iter().map(|(kind, proxy)| {
            let way = Way { proxy: Some(proxy.address), upstream, keeps: kind.keeps(), tls: None };
            Measured { name: kind.name(), way }
        }));
        sheets.extend(latency::run(rounds * 4, &all).await?);
        sheets.extend(rates::run(rounds.div_ceil(3), &all).await?);
        sheets.extend(throughput::run(rounds.div_ceil(3), &all).await?);
        drop(proxies);
        let of = |subject, sheets: Vec<Sheet>| sheets.into_iter().map(move |sheet| (subject, sheet));
        let mut named: Vec<_> = of("guard", sheets).collect();
        named.extend(of("opened", opened::run(rounds).await?));
        named.push(("inspection", dlp::run(rounds)?));
        named.extend(of("caught", caught));
        Ok(named)
    })
}

/// Measures the look into clean text alone, which needs neither squid nor tinyproxy.
pub(crate) fn inspection(rounds: usize) -> anyhow::Result<Sheet> {
    dlp::run(rounds)
}

/// Measures tunnels that are opened alone.
pub(crate) fn opened(rounds: usize) -> anyhow::Result<Vec<Sheet>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(opened::run(rounds))
}

/// Measures new connections of clients that know no proxy alone, which needs neither squid nor tinyproxy.
pub(crate) fn caught(rounds: usize) -> anyhow::Result<Vec<Sheet>> {
    caught::run(rounds)
}

/// Waits for one turn, with its bound.
async fn turn<T>(name: &str, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let ended = tokio::time::timeout(TURN, work).await;
    ended.with_context(|| format!("{name} took too long"))?.with_context(|| format!("measure {name}"))
}
