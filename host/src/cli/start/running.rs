//! The run itself, once the user has agreed: its record, its streams, and what is said of how it ended.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use claude_bottle_plugin_api::{ExecRequest, ExecRole, Plan, Spec};

use super::super::App;
use super::Request;
use crate::error::{CliResult, Exit, agent_exit};
use crate::manifest::{Agent, SecretEntry};
use crate::results::save::Wanted;
use crate::run::backend::Backend;
use crate::run::ending;
use crate::run::records::{Phase, Record};
use crate::run::refresh::Refresh;
use crate::run::session::{Ending, Ran, Session};
use crate::run::setup::Setup;
use crate::run::surroundings;
use crate::ui::output;
use crate::ui::streams::Streams;

/// Keeps Claude Code from setting a title of its own: <https://code.claude.com/docs/en/env-vars>.
const OWN_TITLE: &str = "CLAUDE_CODE_DISABLE_TERMINAL_TITLE";

/// Launches the bottle and runs the agent in it, to its end.
pub(super) fn session(
    app: &App,
    request: &Request<'_>,
    backend: &Backend,
    (spec, agent): (&Spec, &Agent),
    (plan, secrets): (&Plan, &[SecretEntry]),
    policy: String,
) -> CliResult<Ran> {
    let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let record = Record {
        id: spec.id.clone(),
        backend: backend.name().to_owned(),
        agent: request.agent.to_owned(),
        bottle: spec.bottle.name.clone(),
        name: request.flags.name.clone().unwrap_or_else(|| plan.name.clone()),
        owner: spec.owner.clone(),
        created_unix: created.as_secs(),
        phase: Phase::Creating,
        instance: None,
        stage: Some(spec.stage_dir.clone()),
        policy: Some(policy),
        workspace: spec.workspace.as_ref().map(|workspace| workspace.source.clone()),
        ended_unix: None,
        exit_code: None,
        timings: Vec::new(),
        log_end: None,
        saves: wanted(request, backend, (spec, agent)),
        keeps: request.keeps,
        is_saved: false,
    };
    let print = request.flags.print.is_some();
    let tty = !print && io::stdin().is_terminal() && output::stdout().is_terminal();
    let streams = Streams::new(print)?;
    let mut exec = ExecRequest::new(spec.agent.command.clone(), ExecRole::Agent);
    let told = agent.program().map(|profile| profile.prompt_arguments().to_vec());
    exec.prompt_arguments = Some(told.unwrap_or_default());
    exec.tty = tty;
    exec.term = std::env::var("TERM").ok();
    exec.env = surroundings::variables(tty);
    let is_set = spec.bottle.env.iter().any(|variable| variable.name == OWN_TITLE);
    let is_claude = spec.agent.command.first().is_some_and(|program| program.ends_with("claude"));
    if tty && is_claude && !is_set {
        exec.env.insert(OWN_TITLE.to_owned(), "1".to_owned());
    }
    exec.streams = streams.numbers();
    let session = Session {
        backend,
        runs: &app.runs(),
        store: &app.results(),
        spec,
        exe: &app.invocation.exe,
        commits: request.commits,
        plan,
        record,
        is_named: request.flags.name.is_some(),
        setup: Setup { steps: &agent.setup, say: &|text: &str| app.ui.status(text) },
        refreshed: &Refresh::all(secrets),
        home: &app.invocation.home,
        told: app.told.as_deref(),
    };
    Ok(session.run(exec))
}

/// Says what is saved at the end. The index is asked for when something is.
fn wanted(request: &Request<'_>, backend: &Backend, (spec, agent): (&Spec, &Agent)) -> Option<Wanted> {
    let workspace = spec.workspace.as_ref().filter(|workspace| workspace.index.is_some())?;
    Some(Wanted {
        directory: workspace.source.clone(),
        start: workspace.start.clone(),
        ignored: request.ignored,
        history: history(agent),
        has_secrets: backend.granted().is_none_or(|granted| !granted.entries.is_empty()),
        resumes: request.resumes.map(|saved| saved.result.run.clone()),
    })
}

/// Returns where the agent keeps what it remembers of its sessions, below its home.
fn history(agent: &Agent) -> Vec<PathBuf> {
    let usual = || agent.program().map(|profile| profile.history.clone()).unwrap_or_default();
    agent.history.clone().unwrap_or_else(usual)
}

/// Returns the agent's own exit code, unless it would say that all is well and its work is not saved.
pub(super) fn exit(ending: &Ending, work: &ending::Outcome) -> ExitCode {
    let is_unsaved = matches!(work, ending::Outcome::Unsaved(_) | ending::Outcome::Lost(_));
    if is_unsaved && ending.status.code == 0 { Exit::Start.into() } else { agent_exit(&ending.status) }
}
