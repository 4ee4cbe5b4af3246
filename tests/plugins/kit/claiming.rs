//! A backend that declares what it does not do, and gets the rest wrong in one way: the kit says what.

use std::path::PathBuf;
use std::time::Duration;

use claude_bottle_plugin_api::kit::Options;

use crate::good::report;
use crate::{CLAIMING, Check, build, built};

/// What it declares, and does not do.
const CLAIMED: &[&str] = &[
    "skills",
    "ssh-usable",
    "ssh-hidden",
    "egress-allowed",
    "egress-refused",
    "egress-log",
    "reload-counts",
    "reload-secret",
    "limits-plan",
    "limits-memory",
    "limits-processes",
    "exec-resize",
];

/// A wrong, the cases that are run, and those that fail because of it.
const WRONGS: &[(&str, &[&str], &[&str])] = &[
    ("limits-in-words", &["limits-"], &["limits-memory", "limits-processes"]),
    ("secrets-copied", &["workspace-kept-out"], &["workspace-kept-out"]),
    ("ignored-copied", &["workspace-kept-out"], &["workspace-kept-out"]),
    ("no-modes", &["workspace-modes"], &["workspace-modes"]),
    ("links-followed", &["workspace-modes"], &["workspace-modes"]),
    ("usual-size", &["exec-tty"], &["exec-tty"]),
];

/// Builds the backend that can be wrong.
pub(crate) fn build() -> PathBuf {
    let directory = build::root().join("tests/plugins/fixtures");
    let mut cargo = build::cargo_in(&directory, "build");
    build::library(cargo.args(["--package", "claude-bottle-backend-claiming", "--locked"]))
}

pub(crate) fn checks() -> Vec<Check> {
    let claimed = Check::new("what-is-declared-and-not-done-fails", || {
        let reload = ["reload-counts", "reload-secret"];
        let only = ["skills", "ssh-", "egress-", "limits-", "workspace", "exec-tty", "exec-resize"];
        let only: Vec<_> = only.into_iter().chain(reload).collect();
        fails("", &only, CLAIMED);
    });
    let wrongs = WRONGS.iter().map(|(wrong, only, cases)| Check::new(*wrong, || fails(wrong, only, cases)));
    std::iter::once(claimed).chain(wrongs).collect()
}

fn fails(wrong: &str, only: &[&str], cases: &[&str]) {
    let change = |options: &mut Options| {
        options.deadline = Duration::from_secs(120);
        options.only = only.iter().map(|text| (*text).to_owned()).collect();
        // It is never run, which is the point.
        options.spec.bottle.egress.guard = Some("/nowhere/egress-guard".into());
    };
    let report = report(built(CLAIMING), &[("WRONG", wrong)], change);
    let failed: Vec<_> = report.failed().map(|case| case.id).collect();
    assert_eq!(failed, cases, "{report}");
    let (_, _, skipped) = report.counts();
    assert_eq!(skipped, 0, "{report}");
}
