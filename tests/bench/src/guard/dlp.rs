//! How fast the guard looks into a body that has nothing to find, without the network around it.

use std::fs;
use std::time::Duration;

use anyhow::{Context, ensure};
use claude_bottle_egress_policy::{DlpConfig, GuardSecrets, HostOrIp};
use egress_guard::dlp::Inspector;
use egress_guard::dlp::body::BodyScan;
use egress_guard::dlp::unpack::Packing;

use super::proxies::secrets;
use super::sheet::{Sheet, median, quantile};
use super::targets::INSPECTION;

/// English prose.
pub(super) const PROSE: &str = include_str!("../../../../LICENSE-APACHE");

/// Rust, as an agent sends it.
const SOURCE: &str = include_str!("../contender.rs");

/// Bytes of one turn, and of one piece as it comes from the network.
const SIZE: usize = 8 * 1024 * 1024;
const PIECE: usize = 64 * 1024;

pub(super) fn run(rounds: usize) -> anyhow::Result<Sheet> {
    let json = serde_json::json!({ "model": "any", "messages": [{ "role": "user", "content": SOURCE }] });
    let texts = [
        ("prose", fill(PROSE), true),
        ("prose, no secret to look for", fill(PROSE), false),
        ("source code", fill(SOURCE), true),
        ("JSON with source code", fill(&json.to_string()), true),
    ];
    let with = Inspector::new(&DlpConfig::default(), &secrets())?;
    let without = Inspector::new(&DlpConfig::default(), &GuardSecrets::default())?;
    let host = HostOrIp::parse("registry.example").context("a host name")?;
    let mut rates: Vec<Vec<f64>> = vec![Vec::new(); texts.len()];
    for round in 0..=rounds {
        for ((_, text, secret), rates) in texts.iter().zip(&mut rates) {
            let began = processor_time()?;
            look(if *secret { &with } else { &without }, &host, text)?;
            // The first turn compiles the rules.
            if round > 0 {
                rates.push(megabytes(text.len()) / processor_time()?.saturating_sub(began).as_secs_f64());
            }
        }
    }
    let rows = texts
        .iter()
        .zip(&mut rates)
        .map(|((name, ..), rates)| (*name, vec![median(rates), quantile(rates, 1.0)]))
        .collect();
    Ok(Sheet { title: INSPECTION.to_owned(), columns: &["MB/s", "best"], rows })
}

fn look(inspector: &Inspector, host: &HostOrIp, text: &[u8]) -> anyhow::Result<()> {
    let mut scan = BodyScan::new(inspector, host, Packing::Plain);
    let mut passed = 0;
    for piece in text.chunks(PIECE) {
        passed += scan.push(piece)?.len();
    }
    passed += scan.finish()?.len();
    ensure!(passed == text.len(), "the scan holds bytes back");
    ensure!(scan.findings().block.is_none(), "the clean text is not clean: {:?}", scan.findings());
    Ok(())
}

/// Returns the time this thread has had a processor for: the work is one thread's, and others may want the processor too.
///
/// The first number is that time in nanoseconds: <https://docs.kernel.org/scheduler/sched-stats.html>.
fn processor_time() -> anyhow::Result<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").context("read the thread's times")?;
    let first = text.split(' ').next().context("the thread's times are told")?;
    Ok(Duration::from_nanos(first.parse()?))
}

fn fill(text: &str) -> Vec<u8> {
    text.bytes().cycle().take(SIZE).collect()
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}
