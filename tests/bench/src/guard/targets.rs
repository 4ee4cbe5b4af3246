//! What the guard is to reach: by the title of a sheet, a row of it and a column.

use std::fmt;

/// A bound on a figure.
enum Bound {
    Most(f64, &'static str),
    Least(f64, &'static str),
    /// Not above another row.
    MostOf(&'static str),
    /// Not above another row by more than this.
    MostAbove(&'static str, f64, &'static str),
    /// Not below another row so many times.
    LeastOf(f64, &'static str),
}

use Bound::{Least, LeastOf, Most, MostAbove, MostOf};

const MS: Bound = Most(1.0, "ms");

/// Title, row, column, bounds.
type Target = (&'static str, &'static str, &'static str, &'static [Bound]);

const TARGETS: &[Target] = &[
    ("Start to listening", "egress-guard", "median ms", &[Most(20.0, "ms")]),
    ("Memory (resident)", "egress-guard", "idle MB", &[Most(15.0, "MB")]),
    ("Latency: plain request on a kept connection", "egress-guard", "p50 added", &[MS]),
    ("Latency: plain request on a new connection", "egress-guard", "p50 added", &[MS, MostOf("tinyproxy")]),
    ("Latency: request in an open tunnel", "egress-guard", "p50 added", &[MS, MostOf("tinyproxy")]),
    (
        "Latency: new tunnel and the first request in it",
        "egress-guard",
        "p50 added",
        &[MS, MostOf("tinyproxy")],
    ),
    ("Throughput down a tunnel", "egress-guard", "MB/s", &[LeastOf(1.0, "squid")]),
    ("Throughput up a tunnel", "egress-guard", "MB/s", &[LeastOf(1.0, "squid")]),
    ("Opened: Latency: request in an open tunnel", "egress-guard", "p50 added", &[Most(0.15, "ms")]),
    (
        "Opened: Latency: new tunnel and the first request in it",
        "egress-guard",
        "p50 ms",
        &[MostOf("squid ssl-bump"), MostAbove("direct", 0.5, "ms")],
    ),
    (
        "Opened: Requests a second, connections at once: 32",
        "egress-guard",
        "requests/s",
        &[LeastOf(1.5, "squid ssl-bump")],
    ),
    (
        "Opened: Requests a second, connections at once: 256",
        "egress-guard",
        "requests/s",
        &[LeastOf(1.5, "squid ssl-bump")],
    ),
    (
        "Opened: Throughput down a tunnel",
        "egress-guard",
        "MB/s",
        &[LeastOf(0.5, "direct"), LeastOf(2.0, "squid ssl-bump")],
    ),
    ("Opened: Throughput up a tunnel", "egress-guard", "MB/s", &[Least(150.0, "MB/s")]),
    ("Opened: memory (resident)", "egress-guard", "kB a tunnel", &[Most(60.0, "kB")]),
    (INSPECTION, "prose", "MB/s", &[Least(200.0, "MB/s")]),
    (INSPECTION, "prose, no secret to look for", "MB/s", &[Least(200.0, "MB/s")]),
    (INSPECTION, "source code", "MB/s", &[Least(200.0, "MB/s")]),
    (INSPECTION, "JSON with source code", "MB/s", &[Least(200.0, "MB/s")]),
    ("A new connection from inside, on bubblewrap", "added, of pairs", "p50 ms", &[Most(0.3, "ms")]),
    ("A new connection from inside, on docker", "added, of pairs", "p50 ms", &[Most(0.3, "ms")]),
];

/// Title of what the look into text is measured by.
pub(super) const INSPECTION: &str = "The guard's look into clean text, by the processor's time";

/// A row's target, and whether it is met.
pub(super) struct Judged {
    pub(super) text: String,
    pub(super) column: &'static str,
    pub(super) is_met: bool,
}

/// Returns the target of a row; `figure` has those of the sheet, by row and column.
pub(super) fn judge(title: &str, row: &str, figure: impl Fn(&str, &str) -> f64) -> Option<Judged> {
    let (.., column, bounds) = TARGETS.iter().find(|target| target.0 == title && target.1 == row)?;
    let ours = figure(row, column);
    let is_met = bounds.iter().all(|bound| match *bound {
        Most(most, _) => ours <= most,
        Least(least, _) => ours >= least,
        MostOf(other) => ours <= figure(other, column),
        MostAbove(other, more, _) => ours <= figure(other, column) + more,
        LeastOf(times, other) => ours >= times * figure(other, column),
    });
    let text: Vec<_> = bounds.iter().map(Bound::to_string).collect();
    Some(Judged { text: text.join(", "), column, is_met })
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Most(most, unit) => write!(f, "≤ {most} {unit}"),
            Least(least, unit) => write!(f, "≥ {least} {unit}"),
            MostOf(other) => write!(f, "≤ {other}"),
            MostAbove(other, more, unit) => write!(f, "≤ {other} + {more} {unit}"),
            LeastOf(1.0, other) => write!(f, "≥ {other}"),
            LeastOf(times, other) => write!(f, "≥ {times}× {other}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_of_a_figure_and_of_other_rows() {
        let title = "Opened: Throughput down a tunnel";
        let figures = |ours: f64| move |row: &str, _: &str| if row == "egress-guard" { ours } else { 100.0 };
        let judged = judge(title, "egress-guard", figures(250.0)).unwrap();
        assert_eq!((judged.text.as_str(), judged.column), ("≥ 0.5× direct, ≥ 2× squid ssl-bump", "MB/s"));
        assert!(judged.is_met && !judge(title, "egress-guard", figures(199.0)).unwrap().is_met);
        // One that was not measured has not met it.
        assert!(!judge(title, "egress-guard", figures(f64::NAN)).unwrap().is_met);
        assert!(judge(title, "direct", figures(1.0)).is_none());
        let above =
            judge("Opened: Latency: new tunnel and the first request in it", "egress-guard", figures(100.4));
        assert_eq!(above.unwrap().text, "≤ squid ssl-bump, ≤ direct + 0.5 ms");
    }
}
