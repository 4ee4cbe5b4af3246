//! The time from a request to its answer, one at a time.

use std::time::Instant;

use super::sheet::{Sheet, quantile};
use super::{Measured, Way, turn};

/// Requests of one turn, and those before them that are not measured.
const REQUESTS: usize = 50;
const UNMEASURED: usize = 5;

#[derive(Clone, Copy)]
enum Shape {
    Kept,
    New,
    OpenTunnel,
    NewTunnel,
}

const SHAPES: [(Shape, &str); 4] = [
    (Shape::Kept, "plain request on a kept connection"),
    (Shape::New, "plain request on a new connection"),
    (Shape::OpenTunnel, "request in an open tunnel"),
    (Shape::NewTunnel, "new tunnel and the first request in it"),
];

pub(super) async fn run(turns: usize, all: &[Measured]) -> anyhow::Result<Vec<Sheet>> {
    run_shapes(&SHAPES, turns, all).await
}

/// Measures those of tunnels alone.
pub(super) async fn run_in_tunnels(turns: usize, all: &[Measured]) -> anyhow::Result<Vec<Sheet>> {
    run_shapes(&SHAPES[2..], turns, all).await
}

async fn run_shapes(shapes: &[(Shape, &str)], turns: usize, all: &[Measured]) -> anyhow::Result<Vec<Sheet>> {
    let mut sheets = Vec::new();
    for (shape, title) in shapes.iter().copied() {
        sheets.push(measure(shape, title, turns, all).await?);
    }
    Ok(sheets)
}

async fn measure(shape: Shape, title: &str, turns: usize, all: &[Measured]) -> anyhow::Result<Sheet> {
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); all.len()];
    for _ in 0..turns {
        for (measured, times) in all.iter().zip(&mut times) {
            let took = turn(measured.name, requests(shape, measured.way)).await?;
            times.extend(took.into_iter().skip(UNMEASURED));
        }
    }
    let mut direct = (f64::NAN, f64::NAN);
    let mut rows = Vec::new();
    for (measured, times) in all.iter().zip(&mut times) {
        let (middle, high) = (quantile(times, 0.5), quantile(times, 0.99));
        if rows.is_empty() {
            direct = (middle, high);
        }
        rows.push((measured.name, vec![middle, high, middle - direct.0, high - direct.1]));
    }
    let columns = &["p50 ms", "p99 ms", "p50 added", "p99 added"];
    Ok(Sheet { title: format!("Latency: {title}"), columns, rows })
}

/// Returns milliseconds of each request; none when there is no kept connection to be had.
async fn requests(shape: Shape, way: Way) -> anyhow::Result<Vec<f64>> {
    let mut times = Vec::with_capacity(REQUESTS + UNMEASURED);
    let plain = way.get("/");
    let inner = way.origin("/");
    let (request, mut kept) = match shape {
        Shape::Kept if !way.keeps => return Ok(times),
        Shape::Kept => (&plain, Some(way.open().await?)),
        Shape::OpenTunnel => (&inner, Some(way.tunnel().await?)),
        Shape::New => (&plain, None),
        Shape::NewTunnel => (&inner, None),
    };
    for _ in 0..REQUESTS + UNMEASURED {
        let began = Instant::now();
        match (&mut kept, shape) {
            (Some(line), _) => line.ask(request).await?,
            (None, Shape::NewTunnel) => way.tunnel().await?.ask(request).await?,
            (None, _) => way.open().await?.ask(request).await?,
        };
        times.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(times)
}
