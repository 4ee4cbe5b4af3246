//! launch: a plan becomes a bottle, or nothing is left.

use bottle_init::protocol::{Reply, Request, Setup};
use claude_bottle_plugin_api::EnvValue;
use claude_bottle_plugin_api::{Bottle, Call, Plan, Result};

use crate::error::{BubblewrapError, last_words};
use crate::guest::{GUARD_SOCKET, SSH_SOCKET, USER};
use crate::outer;
use crate::plan::PlanState;
use crate::provision::workspace;
use crate::record::Record;
use crate::rundir::{Bottles, RunDir};
use crate::sandbox::{self, PART};
use crate::{close, door, guard};

/// The port inside when the spec says none.
const DEFAULT_PORT: u16 = 8888;

/// Makes the bottle. On failure everything made is undone.
pub(crate) fn launch(call: &Call, bottles: &Bottles, plan: &Plan) -> Result<Bottle> {
    call.check()?;
    let state: PlanState = plan.state()?;
    let (dir, mut record) = bottles.claim(|path| Record::new(&state, path), &state.name)?;
    match build(call, &state, &dir, &mut record) {
        Ok(()) => record.to_bottle(),
        Err(failure) => {
            let undone = close::tear_down(&dir, &record);
            Err(failure.with_undo(undone))
        }
    }
}

fn build(call: &Call, state: &PlanState, dir: &RunDir, record: &mut Record) -> Result<()> {
    let step = call.step("start-bottle", "starting the bottle");
    state.limits.make_groups(&record.groups)?;
    // The sandbox takes longest, so it begins first.
    let begun = outer::begin(state, dir, PART, door::make(dir)?, None, &record.groups)?;
    record.processes.push(begun.process.clone());
    let (guard, ready) = guard::start(call, state, dir)?;
    // The sandbox stays the last, the first to go.
    record.processes.insert(0, guard);
    sandbox::make_directories(state, dir)?;
    workspace::copy(call, state, dir)?;
    call.check()?;
    begun.become_bwrap(state, sandbox::arguments(state, dir)?)?;
    // Both die with this process, so nothing is lost when it dies before it can say which they are.
    dir.save(record)?;
    set_up(call, state, dir)?;
    guard::await_ready(call, ready)?;
    record.is_ready = true;
    dir.save(record)?;
    step.done();
    Ok(())
}

/// Tells process 1 what it must know, and so learns that it is there.
fn set_up(call: &Call, state: &PlanState, dir: &RunDir) -> Result<()> {
    let setup = Setup {
        env: environment(call, state)?,
        port: port(state),
        guard: GUARD_SOCKET.to_owned(),
        limits: state.limits.of_processes(),
    };
    let failed = || BubblewrapError::StartPart { part: PART, said: last_words(&outer::errors(dir, PART)) };
    let stream = door::knock(dir, &state.name, &Request::Setup(setup), &[]).map_err(|_| failed())?;
    match door::answer(call, &stream)? {
        Some((Reply::Ready, _)) => Ok(()),
        _ => Err(failed().into()),
    }
}

pub(crate) fn port(state: &PlanState) -> u16 {
    match state.spec.bottle.egress.port {
        0 => DEFAULT_PORT,
        port => port,
    }
}

/// Returns the environment of every program: a basis, the way out, and then what the manifest says.
fn environment(call: &Call, state: &PlanState) -> Result<Vec<(String, Vec<u8>)>> {
    let proxy = format!("http://127.0.0.1:{}", port(state));
    let mut env: Vec<(String, Vec<u8>)> = [
        ("HOME", state.home.path.as_str()),
        ("LANG", "C.UTF-8"),
        ("LOGNAME", USER),
        ("NODE_USE_ENV_PROXY", "1"),
        ("NO_PROXY", "localhost,127.0.0.1,::1"),
        ("PATH", &state.home.search_path()),
        ("SHELL", "/bin/bash"),
        ("USER", USER),
        ("no_proxy", "localhost,127.0.0.1,::1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
    .into();
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
        env.push((name.to_owned(), proxy.clone().into_bytes()));
    }
    if !state.spec.bottle.ssh.is_empty() {
        // ssh is told by its own configuration; `ssh-add` and git's signing look here.
        env.push(("SSH_AUTH_SOCK".to_owned(), SSH_SOCKET.as_bytes().to_vec()));
    }
    for variable in &state.spec.bottle.env {
        let value = match &variable.value {
            EnvValue::Literal { value } => value.clone().into_bytes(),
            _ => call.secret(&variable.name)?.expose().to_vec(),
        };
        env.retain(|(name, _)| *name != variable.name);
        env.push((variable.name.clone(), value));
    }
    Ok(env)
}
