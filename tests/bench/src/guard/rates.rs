//! How many plain requests a second get through, on one connection and on many at once.

use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio::task::JoinSet;

use super::sheet::{Sheet, median};
use super::{Measured, Way, turn};

/// Length of one turn, and requests at which a connection is done before that.
const LENGTH: Duration = Duration::from_millis(700);
const MOST: usize = 20_000;

const COLUMNS: &[&str] = &["requests/s"];

pub(super) async fn run(rounds: usize, all: &[Measured]) -> anyhow::Result<Vec<Sheet>> {
    let mut sheets = Vec::new();
    for connections in [1, 32, 256] {
        let mut rates: Vec<Vec<f64>> = vec![Vec::new(); all.len()];
        for _ in 0..rounds {
            for (measured, rates) in all.iter().zip(&mut rates) {
                rates.push(turn(measured.name, rate(measured.way, connections)).await?);
            }
        }
        let rows = all.iter().zip(&mut rates).map(|(m, rates)| (m.name, vec![median(rates)])).collect();
        let title = format!("Requests a second, connections at once: {connections}");
        sheets.push(Sheet { title, columns: COLUMNS, rows });
    }
    Ok(sheets)
}

async fn rate(way: Way, connections: usize) -> anyhow::Result<f64> {
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        tasks.spawn(requests(way, began + LENGTH));
    }
    let mut total: u32 = 0;
    while let Some(done) = tasks.join_next().await {
        total += done??;
    }
    ensure!(total > 0, "nothing got through");
    Ok(f64::from(total) / began.elapsed().as_secs_f64())
}

/// Sends one request after the other; where the connection is not kept, each on a new one.
async fn requests(way: Way, until: Instant) -> anyhow::Result<u32> {
    let request = way.get_seen("/");
    let mut line = None;
    let mut count = 0;
    for _ in 0..MOST {
        if Instant::now() > until {
            break;
        }
        let mut open = match line.take() {
            Some(open) => open,
            None => way.seen().await?,
        };
        open.ask(&request).await?;
        line = way.keeps.then_some(open);
        count += 1;
    }
    Ok(count)
}
