//! The table: what was measured, next to what, with its target.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::record::{Measured, row};

/// One figure.
pub(super) struct Line {
    what: &'static str,
    reference: String,
    ours: String,
    figure: String,
    target: String,
    is_met: bool,
    /// To the reference, where there is one.
    ratio: Option<f64>,
}

/// Those of one tree.
pub(super) struct Sheet {
    title: &'static str,
    lines: Vec<Line>,
}

fn ms(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1000.0)
}

impl Line {
    /// A ratio of two times.
    pub(super) fn ratio(what: &'static str, reference: Duration, ours: Duration, target: f64) -> Self {
        let ratio = ours.as_secs_f64() / reference.as_secs_f64().max(1e-9);
        Self {
            what,
            reference: ms(reference),
            ours: ms(ours),
            figure: format!("{ratio:.2}×"),
            target: format!("≤ {target:.2}×"),
            is_met: ratio <= target,
            ratio: Some(ratio),
        }
    }

    /// How much more time one takes.
    pub(super) fn more(what: &'static str, reference: Duration, ours: Duration, target: Duration) -> Self {
        let more = ours.saturating_sub(reference);
        Self {
            what,
            reference: ms(reference),
            ours: ms(ours),
            figure: format!("+{}", ms(more)),
            target: format!("≤ +{}", ms(target)),
            is_met: more <= target,
            ratio: Some(ours.as_secs_f64() / reference.as_secs_f64().max(1e-9)),
        }
    }

    /// A time.
    pub(super) fn at_most(what: &'static str, ours: Duration, target: Duration) -> Self {
        Self {
            what,
            reference: String::new(),
            ours: ms(ours),
            figure: ms(ours),
            target: format!("≤ {}", ms(target)),
            is_met: ours <= target,
            ratio: None,
        }
    }

    /// An amount of memory.
    pub(super) fn memory(what: &'static str, bytes: u64, target: u64) -> Self {
        let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
        Self {
            what,
            reference: String::new(),
            ours: mib(bytes),
            figure: mib(bytes),
            target: format!("≤ {}", mib(target)),
            is_met: bytes <= target,
            ratio: None,
        }
    }
}

impl Sheet {
    pub(super) fn new(title: &'static str, lines: Vec<Line>) -> Self {
        Self { title, lines }
    }
}

impl Measured for Sheet {
    fn table(&self) -> Value {
        let rows = self.lines.iter().map(|line| {
            let mut row = row(line.what, &[], line.ratio);
            let cells = [&line.reference, &line.ours, &line.figure];
            row.insert("figures".to_owned(), cells.map(String::as_str).as_slice().into());
            row.insert("target".to_owned(), line.target.as_str().into());
            row.insert("met".to_owned(), line.is_met.into());
            row
        });
        json!({ "title": self.title, "columns": ["reference", "ours", "figure"], "rows": rows.collect::<Vec<_>>() })
    }
}

impl fmt::Display for Sheet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        writeln!(f, "  {:<58} {:>11} {:>11} {:>10} {:>10}", "", "reference", "ours", "figure", "target")?;
        for Line { what, reference, ours, figure, target, is_met, .. } in &self.lines {
            let met = if *is_met { "" } else { "  missed" };
            writeln!(f, "  {what:<58} {reference:>11} {ours:>11} {figure:>10} {target:>10}{met}")?;
        }
        Ok(())
    }
}
