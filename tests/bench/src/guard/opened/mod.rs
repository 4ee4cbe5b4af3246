//! What it costs that the guard opens tunnels: beside squid with `ssl-bump` and mitmdump, which do the same, and the direct way within TLS.
//!
//! All are at the same name and port, whose server has a certificate of an authority of the bench's own. HTTP/1.1 is spoken, since
//! squid speaks nothing else. The guard inspects what it sees; the other two look into nothing.

mod certificates;
mod proxies;
mod upstream;

use std::time::Duration;

use super::line::Way;
use super::sheet::{Sheet, median};
use super::{Measured, latency, rates, throughput, turn};
use certificates::{Roots, client};
use proxies::{Kind, Opened};

/// The name that all ask for. It leads to this machine without a name server.
const NAME: &str = "localhost";

/// Time in which a proxy comes to rest.
const REST: Duration = Duration::from_millis(500);

/// Measures everything; `rounds` scales how often.
pub(super) async fn run(rounds: usize) -> anyhow::Result<Vec<Sheet>> {
    let roots = Roots::new("bench outside")?;
    let upstream = upstream::serve(roots.server(NAME)?).await?;
    let proxies = Kind::ALL.map(|kind| Opened::start(kind, upstream.port(), &roots));
    let proxies: Vec<Opened> = proxies.into_iter().collect::<anyhow::Result<_>>()?;
    let direct = Way { proxy: None, upstream, keeps: true, tls: Some(client(&roots.pem)?) };
    let mut all = vec![Measured { name: "direct", way: direct }];
    for proxy in &proxies {
        let way = Way { proxy: Some(proxy.address), tls: Some(client(&proxy.authority)?), ..direct };
        all.push(Measured { name: proxy.kind.name(), way });
    }
    let mut sheets = latency::run_in_tunnels(rounds * 4, &all).await?;
    sheets.extend(rates::run(rounds.div_ceil(3), &all).await?);
    sheets.extend(throughput::run_in_tunnels(rounds.div_ceil(3), &all).await?);
    for sheet in &mut sheets {
        sheet.title = format!("Opened: {}", sheet.title);
    }
    tokio::time::sleep(REST).await;
    let mut rows = Vec::new();
    for (proxy, measured) in proxies.iter().zip(&all[1..]) {
        // What each has in use after the same work.
        turn(measured.name, async { measured.way.tunnel().await?.ask(&measured.way.origin("/")).await })
            .await?;
        rows.push((measured.name, vec![median(&mut [proxy.resident()?])]));
    }
    sheets.push(Sheet { title: "Opened: memory after all of it".to_owned(), columns: &["MB"], rows });
    Ok(sheets)
}
