//! Megabytes a second through a tunnel, and of a plain body that the guard looks into.

use std::time::Instant;

use super::dlp::PROSE;
use super::sheet::{Sheet, median, quantile};
use super::{Measured, Way, turn};

/// Bytes that are moved in one turn.
const SIZE: usize = 256 * 1024 * 1024;

/// Bytes of a plain body in one turn: those are looked at one by one.
const BODY: usize = 32 * 1024 * 1024;

/// Bytes the client writes at once.
const PIECE: usize = 64 * 1024;

#[derive(Clone, Copy)]
enum Direction {
    Down,
    Up,
    Body,
}

const DIRECTIONS: [(Direction, &str); 3] = [
    (Direction::Down, "Throughput down a tunnel"),
    (Direction::Up, "Throughput up a tunnel"),
    (Direction::Body, "Throughput of a plain request body, clean prose, which only the guard looks into"),
];

pub(super) async fn run(rounds: usize, all: &[Measured]) -> anyhow::Result<Vec<Sheet>> {
    run_directions(&DIRECTIONS, rounds, all).await
}

/// Measures tunnels alone.
pub(super) async fn run_in_tunnels(rounds: usize, all: &[Measured]) -> anyhow::Result<Vec<Sheet>> {
    run_directions(&DIRECTIONS[..2], rounds, all).await
}

async fn run_directions(
    directions: &[(Direction, &str)],
    rounds: usize,
    all: &[Measured],
) -> anyhow::Result<Vec<Sheet>> {
    let mut sheets = Vec::new();
    for (direction, title) in directions.iter().copied() {
        let mut rates: Vec<Vec<f64>> = vec![Vec::new(); all.len()];
        for _ in 0..rounds {
            for (measured, rates) in all.iter().zip(&mut rates) {
                rates.push(turn(measured.name, rate(measured.way, direction)).await?);
            }
        }
        let rows = all
            .iter()
            .zip(&mut rates)
            .map(|(m, rates)| (m.name, vec![median(rates), quantile(rates, 1.0)]))
            .collect();
        sheets.push(Sheet { title: title.to_owned(), columns: &["MB/s", "best"], rows });
    }
    Ok(sheets)
}

async fn rate(way: Way, direction: Direction) -> anyhow::Result<f64> {
    let mut line = match direction {
        Direction::Body => way.open().await?,
        _ => way.tunnel().await?,
    };
    let text = PROSE.repeat(PIECE.div_ceil(PROSE.len()));
    let piece = &text.as_bytes()[..PIECE];
    let inside = Way { proxy: None, ..way };
    let began = Instant::now();
    let bytes = match direction {
        Direction::Down => {
            line.ask(&inside.origin(&format!("/bytes/{SIZE}"))).await?;
            SIZE
        }
        Direction::Up => {
            line.upload(&inside.post(SIZE), piece, SIZE / PIECE).await?;
            SIZE
        }
        Direction::Body => {
            line.upload(&way.post(BODY), piece, BODY / PIECE).await?;
            BODY
        }
    };
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let megabytes = bytes as f64 / 1e6;
    Ok(megabytes / began.elapsed().as_secs_f64())
}
