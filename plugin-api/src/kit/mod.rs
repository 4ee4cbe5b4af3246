//! The conformance kit: the rules of the contract, as cases that run against any backend.
//!
//! A backend's author runs it from a test of the crate ([`Subject::of`]), and a user against a file with
//! `claude-bottle plugin check`. Which cases run is decided by what the backend declares and by what [`Probe`]
//! says; a case that does not run says why. Results are data ([`Report`]), to be shown as a table or as JSON.
//!
//! Live cases make bottles. They run `sh` and the usual small programs in them (`cat`, `kill`, `ln`, `sleep` …), they touch nothing that does not carry
//! the kit's own owner, and each removes what it made.
//!
//! [`Probe`]: crate::Probe

mod archive;
mod bench;
mod cases;
mod elsewhere;
mod exporting;
mod program;
mod report;
mod snapshot;
mod upstream;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::abi::Exported;
use crate::abi::host::Module;
use crate::{AgentSpec, Capability, Description, Owner, Spec};

use bench::Bench;
use cases::{CASES, Case, Needs};
pub use elsewhere::{Action, Elsewhere, Task, perform};
pub use report::{CaseResult, Outcome, Report};

/// The backend under test.
#[derive(Clone)]
pub struct Subject(Module);

impl Subject {
    /// Takes the backend type of the crate under test, through the same functions a host calls.
    pub fn of<B: Exported>() -> Self {
        Self(Module::of::<B>())
    }

    /// Takes a module that was loaded from a file.
    pub fn loaded(module: Module) -> Self {
        Self(module)
    }
}

/// What the kit may use, and how far it goes.
#[derive(Clone)]
pub struct Options {
    /// What a run is made from: identifier and directories are the kit's, the rest is passed on.
    ///
    /// A backend with containers needs its image and its egress policy here; the host fills them in as for a start.
    /// Its owner has to be a process that is alive.
    pub spec: Spec,
    /// The backend's settings.
    pub settings: BTreeMap<String, String>,
    /// An empty directory for what the kit writes.
    pub scratch: PathBuf,
    /// Whether bottles may be made.
    pub live: bool,
    /// Only the cases whose identifier contains one of these texts; all when empty.
    pub only: Vec<String>,
    /// How long a case may take before it counts as hanging.
    pub deadline: Duration,
    /// Another process, for the cases about what one process makes and another one uses.
    ///
    /// Without it a second instance in this process stands in, which does not find state that is kept in statics.
    pub elsewhere: Option<Arc<dyn Elsewhere>>,
}

impl Options {
    /// Makes options for live cases in a directory that exists, with an agent and a bottle that grant nothing.
    pub fn new(scratch: impl Into<PathBuf>) -> Self {
        let agent = AgentSpec::new("kit", vec!["sh".to_owned()]);
        let mut spec = Spec::new("kit", agent, Owner::new("conformance-kit", std::process::id(), 1));
        "kit".clone_into(&mut spec.bottle.name);
        Self {
            spec,
            settings: BTreeMap::new(),
            scratch: scratch.into(),
            live: true,
            only: Vec::new(),
            deadline: Duration::from_secs(120),
            elsewhere: None,
        }
    }
}

/// Returns the names of all cases, in the order in which they run.
pub fn cases() -> impl Iterator<Item = &'static str> {
    CASES.iter().map(|case| case.id)
}

/// Runs every case that applies, one after the other.
pub fn run(subject: &Subject, options: &Options) -> Report {
    let bench = Arc::new(Bench::new(subject.0, options.clone()));
    let description = match subject.0.describe() {
        Ok(description) => description,
        Err(failure) => return Report::unreadable(&failure),
    };
    let wanted = |case: &&Case| {
        options.only.is_empty() || options.only.iter().any(|text| case.id.contains(text.as_str()))
    };
    let mut usable = None;
    let mut results = Vec::new();
    for case in CASES.iter().filter(wanted) {
        let began = Instant::now();
        let outcome = match reason_to_skip(case, &description, options, &bench, &mut usable) {
            Some(reason) => Outcome::Skip { reason },
            None => run_with_deadline(case, &bench, options.deadline),
        };
        let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        results.push(CaseResult { id: case.id, title: case.title, outcome, millis });
    }
    Report::new(&description, results)
}

/// Says why a case does not apply. The backend is probed when the first live case comes.
fn reason_to_skip(
    case: &Case,
    description: &Description,
    options: &Options,
    bench: &Bench,
    usable: &mut Option<Result<(), String>>,
) -> Option<String> {
    let needed: &[Capability] = match &case.needs {
        Needs::Nothing => return None,
        Needs::Bottles => &[],
        Needs::Capability(capability) => std::slice::from_ref(capability),
        Needs::Both(capabilities) => capabilities,
    };
    if let Some(capability) = needed.iter().find(|needed| !description.capabilities.contains(needed)) {
        return Some(format!("the backend does not declare `{}`", capability.as_str()));
    }
    if !options.live {
        return Some("live cases were not asked for".to_owned());
    }
    usable.get_or_insert_with(|| bench.usable()).clone().err()
}

/// Runs a case on a thread of its own; one that hangs is left behind.
fn run_with_deadline(case: &'static Case, bench: &Arc<Bench>, deadline: Duration) -> Outcome {
    let (sender, receiver) = channel();
    let bench = Arc::clone(bench);
    let thread = std::thread::spawn(move || {
        // Nobody may be waiting any more.
        drop(sender.send((case.run)(&bench).into()));
    });
    match receiver.recv_timeout(deadline) {
        Ok(outcome) => {
            drop(thread.join());
            outcome
        }
        Err(RecvTimeoutError::Timeout) => {
            Outcome::Fail { detail: format!("a verb did not return within {} s", deadline.as_secs()) }
        }
        Err(RecvTimeoutError::Disconnected) => {
            Outcome::Fail { detail: "the case itself panicked".to_owned() }
        }
    }
}
