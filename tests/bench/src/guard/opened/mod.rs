//! What it costs that the guard opens tunnels: beside squid with `ssl-bump` and mitmdump, which do the same, and the direct way within TLS.
//!
//! All are at the same name and port, whose server has a certificate of an authority of the bench's own. HTTP/1.1 is spoken, since
//! squid speaks nothing else. The guard inspects what it sees; the other two look into nothing.

mod certificates;
mod memory;
mod proxies;
mod upstream;

use super::line::Way;
use super::sheet::Sheet;
use super::{Measured, latency, rates, throughput};
use certificates::{Roots, client};
use proxies::{Kind, Opened};

/// The name that all ask for. It leads to this machine without a name server.
const NAME: &str = "localhost";

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
    let mut sizes = Vec::new();
    for (proxy, measured) in proxies.iter().zip(&all[1..]) {
        sizes.push(memory::at_first(proxy, measured).await?);
    }
    let mut sheets = latency::run_in_tunnels(rounds * 4, &all).await?;
    sheets.extend(rates::run(rounds.div_ceil(3), &all).await?);
    sheets.extend(throughput::run_in_tunnels(rounds.div_ceil(3), &all).await?);
    for sheet in &mut sheets {
        sheet.title = format!("Opened: {}", sheet.title);
    }
    for ((proxy, measured), sizes) in proxies.iter().zip(&all[1..]).zip(&mut sizes) {
        sizes.push(memory::after(proxy, measured).await?);
    }
    let rows = proxies.iter().zip(sizes).map(|(proxy, sizes)| (proxy.kind.name(), sizes)).collect();
    sheets.push(Sheet { title: "Opened: memory (resident)".to_owned(), columns: memory::COLUMNS, rows });
    Ok(sheets)
}
