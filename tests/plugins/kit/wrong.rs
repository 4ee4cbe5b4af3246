//! Backends that each break one rule: the kit says which, and nothing that is not a consequence of it.

use std::path::PathBuf;
use std::time::Duration;

use crate::good::report;
use crate::{Check, WRONG, build, built};

/// A wrong, and the cases that must fail because of it: no other ones.
const WRONGS: &[(&str, &[&str])] = &[
    ("prints", &["quiet", "quiet-life"]),
    ("complains", &["quiet", "quiet-life"]),
    ("changes-directory", &["process"]),
    ("changes-umask", &["process"]),
    ("leaks-descriptor", &["leaks"]),
    ("leaks-thread", &["leaks"]),
    ("open-writes", &["open"]),
    ("probe-without-remedy", &["probe"]),
    ("probe-degraded-without-warning", &["probe"]),
    ("panics-in-probe", &["probe"]),
    ("prepare-ignores-cancel", &["prepare-cancelled"]),
    (
        "prepare-launches",
        &[
            "prepare-makes-nothing",
            "prepare-repeats",
            "prepare-cancelled",
            "plan-document",
            "launch-listed",
            "launch-cancelled",
            "launch-twice",
            "launch-two",
            "secret-hidden",
            "prompt",
            "no-prompt",
            "env-literal",
            "env-secret",
            "env-host",
            "exec-code",
            "exec-signal",
            "exec-streams",
            "exec-stdin",
            "exec-large",
            "exec-arguments",
            "exec-agent",
            "exec-missing",
            "exec-cancelled",
            "exec-child-left",
            "exec-two",
            "exec-closed",
            "elsewhere-exec",
            "elsewhere-close",
            "elsewhere-launch",
            "close",
            "close-twice",
            "cleanup-spares-live",
            "cleanup-shows-first",
            "cleanup-finds-dead",
            "cleanup-twice",
            "cleanup-all",
            "quiet-life",
            "process",
            "leaks",
        ],
    ),
    ("prepare-varies", &["prepare-repeats"]),
    ("prepare-asks-secrets", &["prepare-secret"]),
    ("plan-in-memory", &["elsewhere-launch"]),
    ("prepare-writes-record", &["prepare-makes-nothing"]),
    ("hangs-in-launch", &["exec-closed", "elsewhere-close", "close", "close-twice"]),
    ("launch-ignores-cancel", &["prepare-cancelled", "launch-cancelled"]),
    ("launch-steals-name", &["launch-two"]),
    ("secret-in-bottle", &["secret-hidden"]),
    ("secret-in-log", &["secret-hidden"]),
    ("launch-replaces", &["launch-twice"]),
    ("launch-leaves", &["launch-cancelled"]),
    ("provision-ignores-cancel", &["prepare-cancelled"]),
    ("secret-lost", &["env-secret"]),
    ("prompt-always", &["no-prompt"]),
    ("prompt-never", &["prompt"]),
    ("exec-needs-launcher", &["elsewhere-exec"]),
    (
        "close-forgets",
        &[
            "plan-document",
            "launch-listed",
            "launch-cancelled",
            "launch-two",
            "exec-closed",
            "elsewhere-close",
            "elsewhere-launch",
            "close",
        ],
    ),
    ("close-once", &["elsewhere-close", "close-twice"]),
    ("close-needs-launcher", &["elsewhere-close", "elsewhere-launch"]),
    ("cleanup-takes-live", &["cleanup-spares-live"]),
    ("cleanup-ignores-all", &["cleanup-all"]),
    ("cleanup-finds-nothing", &["cleanup-finds-dead", "cleanup-all"]),
    ("cleanup-at-once", &["cleanup-shows-first"]),
    ("cleanup-once", &["cleanup-twice"]),
    ("cleanup-lies", &["cleanup-finds-dead"]),
    ("list-nothing", &["launch-listed", "launch-twice", "launch-two", "cleanup-shows-first"]),
    ("operation-answers-all", &["unknown-operation"]),
    (
        "exec-through-a-shell",
        &[
            "prompt",
            "env-literal",
            "env-secret",
            "env-host",
            "exec-code",
            "exec-signal",
            "exec-streams",
            "exec-large",
            "exec-arguments",
            "exec-agent",
            "exec-missing",
            "exec-cancelled",
            "exec-child-left",
            "exec-two",
            "elsewhere-exec",
            "cleanup-spares-live",
        ],
    ),
    ("env-of-the-host", &["env-host"]),
    ("env-first-line", &["env-literal"]),
    ("exec-without-stdin", &["exec-stdin"]),
    ("exec-mixes-streams", &["exec-streams", "exec-large"]),
    ("exec-cuts-output", &["exec-stdin", "exec-large", "exec-cancelled", "exec-child-left"]),
    ("exec-missing-is-success", &["exec-missing"]),
    (
        "exec-always-zero",
        &["exec-code", "exec-signal", "exec-missing", "elsewhere-exec", "cleanup-spares-live"],
    ),
    ("exec-any-failure-is-one", &["exec-code", "exec-missing", "elsewhere-exec", "cleanup-spares-live"]),
    ("exec-signal-is-one", &["exec-signal"]),
    ("prompt-to-every-agent", &["exec-agent"]),
    ("exec-leaves-program", &["exec-cancelled"]),
    ("exec-waits-for-streams", &["exec-cancelled", "exec-child-left"]),
    ("exec-one-at-a-time", &["exec-two"]),
    ("exec-in-closed", &["exec-closed"]),
];

/// Builds the backend that can be wrong.
pub(crate) fn build() -> PathBuf {
    let directory = build::root().join("tests/plugins/fixtures");
    let mut cargo = build::cargo_in(&directory, "build");
    build::library(cargo.args(["--package", "claude-bottle-backend-wrong", "--locked"]))
}

pub(crate) fn checks() -> Vec<Check> {
    let right = Check::new("without-a-wrong-every-rule-is-kept", || {
        let report = report(built(WRONG), &[], |_| {});
        assert!(report.passed(), "{report}");
    });
    let wrongs = WRONGS.iter().map(|(wrong, cases)| Check::new(*wrong, || fails(wrong, cases)));
    std::iter::once(right).chain(wrongs).collect()
}

fn fails(wrong: &str, cases: &[&str]) {
    let report = report(built(WRONG), &[("WRONG", wrong)], |options| {
        options.deadline = Duration::from_secs(60);
        // A verb that hangs would hang in every case after this one.
        if wrong.starts_with("hangs") {
            options.deadline = Duration::from_secs(5);
            options.only = vec!["close".to_owned()];
        }
    });
    let failed: Vec<_> = report.failed().map(|case| case.id).collect();
    assert_eq!(failed, cases, "{report}");
}
