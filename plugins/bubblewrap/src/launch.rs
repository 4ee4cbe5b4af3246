//! launch: a plan becomes a bottle, or nothing is left.

use std::thread;

use bottle_guest::protocol::{Relay, Reply, Request, Setup};
use claude_bottle_kit::bwrap::{self, BwrapError, last_words};
use claude_bottle_kit::{LOCALE, profile_variables, proxy_variables, trust};
use claude_bottle_plugin_api::{Bottle, Call, EnvValue, Failure, FailureKind, ForwardSpec, Plan, Result};

use crate::guest::{GUARD_DIR, GUARD_SOCKET, SSH_SOCKET, USER};
use crate::plan::Planned;
use crate::provision::workspace;
use crate::record::Record;
use crate::rundir::{RunDir, Store};
use crate::sandbox::{self, PART};
use crate::{close, control, etc, guard, low_ports};

/// The port inside when the spec says none.
const DEFAULT_PORT: u16 = 8888;

/// Makes the bottle. On failure everything made is undone.
pub(crate) fn launch(call: &Call, bottles: &Store, plan: &Plan) -> Result<Bottle> {
    call.check()?;
    let state = Planned::read(plan)?;
    let (dir, mut record) = bottles.claim(|path| Record::new(&state, path), &state.name)?;
    // The host's `/etc` is looked through while the processes start. The scope ends after both.
    let built = thread::scope(|scope| {
        let etc = scope.spawn(|| etc::make(bottles, &dir, &state));
        let etc = || etc.join().unwrap_or_else(|_| Err(Failure::new(FailureKind::Internal, "read `/etc`")));
        build(call, &state, &dir, &mut record, etc)
    });
    match built {
        Ok(()) => record.to_bottle(),
        Err(failure) => {
            let undone = close::tear_down(&dir, &record);
            Err(failure.with_undo(undone))
        }
    }
}

fn build(
    call: &Call,
    state: &Planned,
    dir: &RunDir,
    record: &mut Record,
    etc: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let step = call.step("start-bottle", "starting the bottle");
    state.limits.make_groups(&record.groups)?;
    // The sandbox takes longest, so it begins first.
    let begun = bwrap::begin(&state.bwrap, &dir.path, PART, control::make(dir)?, None, &record.groups)?;
    record.processes.push(begun.process.clone());
    let guard = guard::start(call, state, dir)?;
    // The sandbox stays the last, the first to go.
    record.processes.insert(0, guard.process.clone());
    sandbox::make_directories(state, dir)?;
    workspace::copy(call, state, dir)?;
    call.check()?;
    etc()?;
    begun.exec_bwrap(&state.bwrap, sandbox::arguments(state, dir)?)?;
    // Both die with this process, so nothing is lost when it dies before it can say which they are.
    dir.save(record)?;
    set_up(call, state, dir)?;
    guard.await_ready(call)?;
    record.is_ready = true;
    dir.save(record)?;
    step.done();
    Ok(())
}

/// Tells process 1 what it must know, and so learns that it is there.
fn set_up(call: &Call, state: &Planned, dir: &RunDir) -> Result<()> {
    let setup = Setup {
        env: environment(call, state)?,
        relay: Some(Relay {
            port: port(state),
            guard: GUARD_SOCKET.into(),
            forward: state.spec.bottle.forward.iter().map(forward).collect(),
            names: true,
        }),
        files: Vec::new(),
        limits: state.limits.of_processes(),
    };
    let failed = || BwrapError::StartPart { part: PART, said: last_words(&bwrap::errors(&dir.path, PART)) };
    low_ports::open(call, dir, &state.name).map_err(|failure| {
        match last_words(&bwrap::errors(&dir.path, PART)) {
            said if said.is_empty() => failure,
            _ => failed().into(),
        }
    })?;
    let stream =
        control::send_request(dir, &state.name, &Request::Setup(setup), &[]).map_err(|_| failed())?;
    match control::answer(call, &stream)? {
        Some((Reply::Ready, _)) => Ok(()),
        _ => Err(failed().into()),
    }
}

/// Returns a port inside and the place that the guard is asked for.
fn forward(forward: &ForwardSpec) -> (u16, String) {
    (forward.port, format!("{}:{}", forward.host, forward.host_port))
}

pub(crate) fn port(state: &Planned) -> u16 {
    match state.spec.bottle.egress.port {
        0 => DEFAULT_PORT,
        port => port,
    }
}

/// Returns the environment of every program: a basis, the way out, and then what the manifest says.
fn environment(call: &Call, state: &Planned) -> Result<Vec<(String, Vec<u8>)>> {
    let proxy = format!("http://127.0.0.1:{}", port(state));
    let mut env: Vec<(String, Vec<u8>)> = [
        ("HOME", state.home.path.as_str()),
        LOCALE,
        ("LOGNAME", USER),
        ("PATH", &state.home.search_path(&state.grants.search)),
        ("SHELL", "/bin/bash"),
        ("USER", USER),
    ]
    .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
    .into();
    env.extend(
        proxy_variables(&proxy).into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())),
    );
    if trust::is_needed(&state.spec) {
        let variables = trust::variables(GUARD_DIR).into_iter();
        env.extend(variables.map(|(name, value)| (name.to_owned(), value.into_bytes())));
    }
    let profile = profile_variables(&state.spec);
    env.extend(profile.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())));
    if !state.spec.bottle.ssh.is_empty() {
        // ssh is told by its own configuration; `ssh-add` and git's signing look here.
        env.push(("SSH_AUTH_SOCK".to_owned(), SSH_SOCKET.as_bytes().to_vec()));
    }
    let granted = state.grants.variables.iter();
    env.extend(granted.map(|(name, value)| (name.clone(), value.clone().into_bytes())));
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
