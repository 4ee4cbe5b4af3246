//! The conformance kit, every case that applies.

use std::process::Command;

use claude_bottle_backend_bubblewrap::Bubblewrap;
use claude_bottle_plugin_api::kit::{Options, Outcome, Subject, run};

use crate::support::{AGAIN, programs};

/// In a process of its own.
const ALONE: &str = "BUBBLEWRAP_TESTS_KIT";

#[test]
fn the_contract_is_kept() {
    programs();
    let mut alone = Command::new(std::env::current_exe().unwrap());
    alone.args(["--exact", "conformance::kit"]).env(ALONE, "1").env(AGAIN, "1");
    let output = alone.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Runs alone: it looks at the descriptors and the output of the whole process.
///
/// Returns what failed instead of panicking: the plug-in's fence keeps panics off the terminal.
#[test]
fn kit() -> Result<(), String> {
    if std::env::var_os(ALONE).is_none() {
        return Ok(());
    }
    let scratch = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut options = Options::new(scratch.path());
    options.spec.bottle.egress.guard = Some(programs().join("egress-guard"));
    // The probe, which is told of no guard, has to find it too.
    let init = programs().join("bottle-guest").display().to_string();
    options.settings.insert("GUEST".to_owned(), init);
    let report = run(&Subject::of::<Bubblewrap>(), &options);
    let is_good = |outcome: &Outcome| !matches!(outcome, Outcome::Fail { .. });
    let passed = report.cases.iter().filter(|case| matches!(case.outcome, Outcome::Pass)).count();
    if passed > 10 && report.cases.iter().all(|case| is_good(&case.outcome)) {
        return Ok(());
    }
    let bad: Vec<_> = report.cases.iter().filter(|case| !matches!(case.outcome, Outcome::Pass)).collect();
    Err(format!("{passed} passed; {bad:#?}"))
}
