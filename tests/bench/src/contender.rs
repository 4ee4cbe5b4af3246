//! Contenders that take turns, and the table of what came out.

use std::fmt;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::record::{Measured, row};

/// One way of doing the job.
pub(crate) struct Contender<'a> {
    name: &'static str,
    run: Box<dyn Fn() -> anyhow::Result<Duration> + 'a>,
}

impl<'a> Contender<'a> {
    /// Makes one that is timed by what `run` returns.
    pub(crate) fn new(name: &'static str, run: impl Fn() -> anyhow::Result<Duration> + 'a) -> Self {
        Self { name, run: Box::new(run) }
    }
}

/// Medians of contenders that took turns; the first is what the others are compared with.
pub(crate) struct Table {
    title: &'static str,
    rows: Vec<Row>,
}

struct Row {
    name: &'static str,
    median: Duration,
    best: Duration,
    worst: Duration,
}

/// Lets every contender run once unmeasured, then lets them take turns.
pub(crate) fn compare(
    title: &'static str,
    rounds: usize,
    contenders: &[Contender<'_>],
) -> anyhow::Result<Table> {
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); contenders.len()];
    for round in 0..=rounds {
        for (contender, times) in contenders.iter().zip(&mut times) {
            let took = (contender.run)().with_context(|| format!("run {}", contender.name))?;
            if round > 0 {
                times.push(took);
            }
        }
    }
    let rows = contenders.iter().zip(times).filter_map(|(contender, mut times)| {
        times.sort();
        let (best, worst) = (*times.first()?, *times.last()?);
        Some(Row { name: contender.name, median: times[times.len() / 2], best, worst })
    });
    Ok(Table { title, rows: rows.collect() })
}

impl Measured for Table {
    fn table(&self) -> Value {
        let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
        let base = self.rows.first().map_or(f64::NAN, |row| ms(row.median));
        let figures = |r: &Row| [ms(r.median), ms(r.best), ms(r.worst)];
        let rows = self.rows.iter().map(|r| row(r.name, &figures(r), Some(ms(r.median) / base)));
        let rows: Vec<_> = rows.collect();
        json!({ "title": self.title, "columns": ["median ms", "best", "worst"], "rows": rows })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
        writeln!(f, "{}", self.title)?;
        writeln!(f, "  {:<44} {:>10} {:>10} {:>10} {:>9}", "", "median ms", "best", "worst", "ratio")?;
        let base = self.rows.first().map_or(1.0, |row| ms(row.median));
        for row in &self.rows {
            let (median, best, worst) = (ms(row.median), ms(row.best), ms(row.worst));
            writeln!(
                f,
                "  {:<44} {median:>10.2} {best:>10.2} {worst:>10.2} {:>8.2}×",
                row.name,
                median / base
            )?;
        }
        Ok(())
    }
}

/// Times a command from its start to its end; it must succeed.
pub(crate) fn whole(command: &mut Command) -> anyhow::Result<Duration> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let began = Instant::now();
    let output = command.output().with_context(|| format!("run {command:?}"))?;
    let took = began.elapsed();
    ensure!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(took)
}

/// Times a command from its start to the first byte on its standard output; it must then succeed.
pub(crate) fn first_byte(command: &mut Command) -> anyhow::Result<Duration> {
    Ok(before_and_after(command)?.0)
}

/// Times a command from the first byte on its standard output to its end; it must succeed.
pub(crate) fn after_first_byte(command: &mut Command) -> anyhow::Result<Duration> {
    Ok(before_and_after(command)?.1)
}

fn before_and_after(command: &mut Command) -> anyhow::Result<(Duration, Duration)> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let began = Instant::now();
    let mut child = command.spawn().with_context(|| format!("run {command:?}"))?;
    let mut output = child.stdout.take().context("the command has an output")?;
    let mut byte = [0];
    output.read_exact(&mut byte).with_context(|| format!("wait for the first byte of {command:?}"))?;
    let before = began.elapsed();
    std::io::copy(&mut output, &mut std::io::sink())?;
    ensure!(child.wait()?.success(), "{command:?} failed");
    Ok((before, began.elapsed() - before))
}
