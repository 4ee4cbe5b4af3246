//! Backends that keep every rule.

use std::path::PathBuf;
use std::sync::Arc;

use claude_bottle_plugin_api::kit::{Options, Outcome, Report, Subject, run};
use serde_json::Value;

use crate::elsewhere::{Process, load};
use crate::{Check, FAKE, build, built};

pub(crate) fn checks() -> Vec<Check> {
    vec![
        Check::new("fake-keeps-every-rule", fake),
        Check::new("without-live-cases-they-are-skipped-with-a-reason", without_live),
        Check::new("only-what-was-asked-for-runs", only),
        Check::new("an-unusable-backend-skips-with-its-own-reason", unusable),
    ]
}

/// Runs the kit on a file, with another process and some settings.
pub(crate) fn report(file: PathBuf, settings: &[(&str, &str)], change: impl FnOnce(&mut Options)) -> Report {
    let scratch = tempfile::tempdir().unwrap();
    let subject = Subject::loaded(load(&file).module);
    let mut options = Options::new(scratch.path());
    options.settings = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    options.elsewhere = Some(Arc::new(Process(file)));
    change(&mut options);
    run(&subject, &options)
}

fn fake() {
    let report = report(built(FAKE), &[], |_| {});
    assert!(report.passed(), "{report}");
    let (passed, failed, skipped) = report.counts();
    assert!(passed >= 60 && failed == 0, "{report}");
    // The fake backend declares none of these.
    let reasons: Vec<_> = report
        .cases
        .iter()
        .filter_map(|case| match &case.outcome {
            Outcome::Skip { reason } => Some((case.id, reason.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(reasons.len(), skipped);
    assert_eq!(
        reasons,
        [
            ("skills", "the backend does not declare `skills`"),
            ("ssh-usable", "the backend does not declare `ssh`"),
            ("ssh-hidden", "the backend does not declare `ssh`"),
            ("egress-allowed", "the backend does not declare `egress`"),
            ("egress-refused", "the backend does not declare `egress`"),
            ("egress-log", "the backend does not declare `egress`"),
            ("reload-counts", "the backend does not declare `egress`"),
            ("reload-secret", "the backend does not declare `egress`"),
            ("limits-plan", "the backend does not declare `limits`"),
            ("limits-memory", "the backend does not declare `limits`"),
            ("limits-processes", "the backend does not declare `limits`"),
            ("exec-tty", "the backend does not declare `tty`"),
            ("exec-resize", "the backend does not declare `tty`"),
        ]
    );
    check_forms(&report);
    let guide = std::fs::read_to_string(build::root().join("docs/plugin-authors.md")).unwrap();
    let unexplained: Vec<_> =
        report.cases.iter().map(|case| case.id).filter(|id| !guide.contains(&format!("`{id}`"))).collect();
    assert!(unexplained.is_empty(), "docs/plugin-authors.md does not name {unexplained:?}");
}

/// The report as a table and as JSON.
fn check_forms(report: &Report) {
    let table = report.to_string();
    assert!(table.starts_with("backend `fake` 0.1.0, contract 1.1\n"), "{table}");
    assert!(table.contains("  pass  describe"), "{table}");
    assert!(table.lines().last().unwrap().ends_with("0 failed, 13 skipped"), "{table}");
    let json: Value = serde_json::to_value(report).unwrap();
    assert_eq!(json["cases"][0]["id"], "describe");
    assert_eq!(json["cases"][0]["outcome"], "pass");
    assert!(json["cases"][0]["millis"].is_u64());
}

fn without_live() {
    let report = report(built(FAKE), &[], |options| options.live = false);
    assert!(report.passed(), "{report}");
    let close = report.cases.iter().find(|case| case.id == "close").unwrap();
    assert_eq!(close.outcome, Outcome::Skip { reason: "live cases were not asked for".to_owned() });
}

fn only() {
    let report = report(built(FAKE), &[], |options| options.only = vec!["exec-co".to_owned()]);
    let ids: Vec<_> = report.cases.iter().map(|case| case.id).collect();
    assert_eq!(ids, ["exec-code"]);
}

fn unusable() {
    let report = report(built(FAKE), &[("FAKE_FAULT", "error:probe")], |_| {});
    let close = report.cases.iter().find(|case| case.id == "close").unwrap();
    let Outcome::Skip { reason } = &close.outcome else { panic!("{report}") };
    assert!(reason.contains("its probe fails: a fault was asked for"), "{reason}");
    let failed: Vec<_> = report.failed().map(|case| case.id).collect();
    assert_eq!(failed, ["probe"]);
}
