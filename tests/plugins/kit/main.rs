//! The conformance kit against the fake backend, and against backends that each break one rule.
//!
//! A program of its own, without the usual test harness: the kit looks at descriptors, threads and standard output of the
//! whole process, and runs parts of itself in another process. `cargo test --test kit -- TEXT` runs the checks whose
//! name contains TEXT.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]
#![expect(clippy::print_stdout, reason = "a test program says which of its checks failed")]

#[path = "../support/build.rs"]
mod build;
mod claiming;
mod elsewhere;
mod exporting;
mod good;
mod runner;
mod wrong;

use std::path::PathBuf;
use std::process::ExitCode;

/// A named check; it panics when it fails.
struct Check {
    name: String,
    run: Box<dyn Fn()>,
}

impl Check {
    fn new(name: impl Into<String>, run: impl Fn() + 'static) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }
}

/// The argument that makes this program run one check; its name follows.
const ONE: &str = "--one-check";
/// The variables in which the program tells itself what it has built.
const FAKE: &str = "KIT_FAKE";
const WRONG: &str = "KIT_WRONG";
const EXPORTING: &str = "KIT_EXPORTING";
const CLAIMING: &str = "KIT_CLAIMING";

/// Returns a plug-in that was built before the checks began.
fn built(variable: &str) -> PathBuf {
    PathBuf::from(std::env::var_os(variable).unwrap())
}

/// Those that wait longest come first, so that they are not what everything waits for at the end.
fn checks() -> Vec<Check> {
    let wrong = claiming::checks().into_iter().chain(exporting::checks()).chain(wrong::checks());
    wrong.chain(good::checks()).collect()
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [first, ..] if first == elsewhere::ARGUMENT => return elsewhere::serve(),
        [first, name] if first == ONE => {
            let check = checks().into_iter().find(|check| check.name == *name).unwrap();
            (check.run)();
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let wanted = |check: &Check| {
        let mut filters = arguments.iter().filter(|argument| !argument.starts_with('-')).peekable();
        filters.peek().is_none() || filters.any(|filter| check.name.contains(filter.as_str()))
    };
    let names = checks().into_iter().filter(wanted).map(|check| check.name).collect();
    runner::run(names, &runner::built())
}
