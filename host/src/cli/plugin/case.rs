//! `plugin-case`, hidden: one case of the conformance kit, or one part of a case, in a process of its own.
//!
//! `plugin check` starts it once a case, so that a plug-in that takes the process down is a line in the table. The order
//! comes on standard input and the answer goes to standard output, both as JSON.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use claude_bottle_plugin_api::kit::{self, Elsewhere, Options, Subject, Task};
use claude_bottle_plugin_api::{ErrorExt, Failure, FailureKind, Result, Spec};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::App;
use crate::error::CliResult;
use crate::plugins::{Identity, Loaded, find, registry};
use crate::{run::owner, ui::output};

/// How long a case may take. The first one that launches may build an image from nothing.
const DEADLINE: Duration = Duration::from_secs(900);

/// A plug-in, as the user names it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Named {
    File(PathBuf),
    Backend(String),
}

impl Named {
    /// Takes what can be a backend's name for one, and everything else for a file.
    pub(super) fn new(text: &str) -> Self {
        match find::check_name(text) {
            Ok(()) => Self::Backend(text.to_owned()),
            Err(_) => Self::File(text.into()),
        }
    }

    /// Loads it, after every check of where it comes from.
    pub(super) fn load(&self, app: &App) -> CliResult<Loaded> {
        output::keep_from_plugins().context("cannot move standard output away from plug-ins")?;
        let pins = app.pins()?;
        Ok(match self {
            Self::File(path) => registry::load_file(path.clone(), &Identity::current(), &pins)?,
            Self::Backend(name) => registry::load(&app.search_path(), &pins, name)?,
        })
    }
}

/// What the process is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) plugin: Named,
    pub(super) work: Work,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Work {
    /// A case of the kit; the answer is its result.
    Case {
        id: String,
        /// What a run is made from, but for its owner: that is the process.
        spec: Box<Spec>,
        settings: Vec<(String, String)>,
        /// An empty directory.
        scratch: PathBuf,
    },
    /// What a case does in another process; the answer is a `Result`.
    Perform(Box<Task>),
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {}

pub(in crate::cli) fn run(app: &App, _args: &Args) -> CliResult {
    let order: Order = serde_json::from_reader(io::stdin().lock()).context("cannot read the order")?;
    let loaded = order.plugin.load(app)?;
    let answer = match order.work {
        Work::Perform(task) => serde_json::to_value(kit::perform(&loaded.module, &task)),
        Work::Case { id, spec, settings, scratch } => {
            let mut options = Options::new(scratch);
            options.spec = *spec;
            options.spec.owner = owner::this_process();
            options.settings = settings.into_iter().collect();
            options.only = vec![id.clone()];
            options.deadline = DEADLINE;
            options.elsewhere =
                Some(Arc::new(Process { exe: app.invocation.exe.clone(), plugin: order.plugin }));
            let report = kit::run(&Subject::loaded(loaded.module), &options);
            // Cases whose names contain this one's ran as well.
            serde_json::to_value(report.cases.iter().find(|case| case.id == id))
        }
    };
    Ok(output::write(answer.context("cannot write the answer")?.to_string().as_bytes())?)
}

/// Starts the process and gives it the order.
pub(super) fn start(exe: &std::path::Path, order: &Order) -> io::Result<Child> {
    let mut child =
        Command::new(exe).arg("plugin-case").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A process that is gone already is told by its status.
        drop(stdin.write_all(&serde_json::to_vec(order)?));
    }
    Ok(child)
}

/// Another process for the cases that need two.
struct Process {
    exe: PathBuf,
    plugin: Named,
}

impl Elsewhere for Process {
    fn run(&self, task: &Task) -> Result<Value> {
        let order = Order { plugin: self.plugin.clone(), work: Work::Perform(Box::new(task.clone())) };
        let output = start(&self.exe, &order)
            .and_then(Child::wait_with_output)
            .failure(FailureKind::Internal, || "cannot start another process")?;
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
            Err(Failure::new(FailureKind::Internal, format!("the other process ended: {}", output.status)))
        })
    }
}
