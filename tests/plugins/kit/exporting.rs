//! Backends that each get something wrong about halt, export, keep, connect, resume and reload: the kit says what.

use std::path::PathBuf;
use std::time::Duration;

use claude_bottle_plugin_api::kit::Options;

use crate::good::report;
use crate::{Check, EXPORTING, build, built};

/// The cases that need a whole archive.
const WHOLE: &[&str] = &[
    "halt-ends-exec",
    "export-tree",
    "export-after-halt",
    "export-elsewhere",
    "export-slow-reader",
    "export-closed-reader",
    "index-is-export",
    "keep-files",
    "resume-tree",
];

/// A wrong, and the cases that must fail because of it: no other ones.
const WRONGS: &[(&str, &[&str])] = &[
    ("halt-once", &["halt-twice", "export-after-halt", "keep-files"]),
    ("halt-does-nothing", &["halt-twice", "halt-ends-exec"]),
    (
        "halt-removes",
        &[
            "export-tree",
            "export-after-halt",
            "export-slow-reader",
            "export-closed-reader",
            "index-is-export",
            "keep-files",
            "resume-tree",
        ],
    ),
    ("export-without-links", &["export-tree", "index-is-export", "resume-tree"]),
    ("export-without-end", WHOLE),
    ("export-miscounts", WHOLE),
    ("export-needs-launcher", &["export-elsewhere", "keep-files"]),
    ("export-from-memory", &["export-slow-reader"]),
    ("export-ignores-its-reader", &["export-slow-reader", "export-closed-reader"]),
    ("index-forgets", &["index-is-export"]),
    ("keep-once", &["keep-files"]),
    ("keep-removes", &["keep-files"]),
    ("keep-closes", &["keep-files"]),
    ("resume-keeps-removed", &["resume-tree"]),
    ("resume-forgets-history", &["resume-history"]),
    ("resume-indexes-all", &["resume-index"]),
    ("resume-takes-all", &["resume-hostile"]),
    ("connect-empty", &["connect-refused"]),
    ("connect-ends-together", &["connect-bytes", "connect-ends", "connect-cancelled", "connect-closed"]),
    ("connect-ignores-cancel", &["connect-cancelled"]),
    ("connect-forgets-the-bottle", &["connect-cancelled", "connect-closed"]),
    ("reload-takes-all", &["reload-wrong"]),
    ("reload-finds-what-is-gone", &["reload-closed"]),
];

/// Builds the backend that can be wrong.
pub(crate) fn build() -> PathBuf {
    let directory = build::root().join("tests/plugins/fixtures");
    let mut cargo = build::cargo_in(&directory, "build");
    build::library(cargo.args(["--package", "claude-bottle-backend-exporting", "--locked"]))
}

pub(crate) fn checks() -> Vec<Check> {
    let right = Check::new("exporting-right-keeps-every-rule", || {
        let report = report(built(EXPORTING), &[], only);
        assert!(report.passed() && report.counts() == (20, 0, 0), "{report}");
    });
    let wrongs = WRONGS.iter().map(|(wrong, cases)| Check::new(*wrong, || fails(wrong, cases)));
    std::iter::once(right).chain(wrongs).collect()
}

fn only(options: &mut Options) {
    options.deadline = Duration::from_secs(120);
    options.only =
        ["halt-", "export-", "index-", "keep-", "resume-", "connect-", "reload-wrong", "reload-closed"]
            .map(str::to_owned)
            .into();
}

fn fails(wrong: &str, cases: &[&str]) {
    let report = report(built(EXPORTING), &[("WRONG", wrong)], only);
    let failed: Vec<_> = report.failed().map(|case| case.id).collect();
    assert_eq!(failed, cases, "{report}");
}
