//! launch: a plan becomes a bottle, or nothing is left.

use std::path::PathBuf;
use std::thread;

use bottle_guest::protocol::{Reply, Request, Setup};
use claude_bottle_directory::close::Ends;
use claude_bottle_directory::inside::USER;
use claude_bottle_directory::{Record, RunDir, Store, copy_workspace, environment, layout};
use claude_bottle_door as door;
use claude_bottle_kit::LOCALE;
use claude_bottle_kit::bwrap::{self, BwrapError, last_words};
use claude_bottle_kit::host_guard::{HostGuard, Starting};
use claude_bottle_plugin_api::{Bottle, Call, Failure, FailureKind, Plan, Result};

use crate::plan::Planned;
use crate::sandbox::{self, PART};
use crate::{etc, low_ports};

/// Makes the bottle. On failure everything made is undone.
pub(crate) fn launch(call: &Call, bottles: &Store, plan: &Plan) -> Result<Bottle> {
    call.check()?;
    let state = Planned::read(plan)?;
    let (dir, mut record) = bottles.claim(|path| record(&state, path), &state.base.name)?;
    // The host's `/etc` is looked through while the processes start. The scope ends after both.
    let built = thread::scope(|scope| {
        let etc = scope.spawn(|| etc::make(bottles, &dir, &state));
        let etc = || etc.join().unwrap_or_else(|_| Err(Failure::new(FailureKind::Internal, "read `/etc`")));
        build(call, &state, &dir, &mut record, etc)
    });
    match built {
        Ok(()) => record.to_bottle(),
        Err(failure) => {
            let undone = ends(bottles).tear_down(&dir, &record);
            Err(failure.with_undo(undone))
        }
    }
}

/// Returns how bottles end: all their processes are in their records.
pub(crate) fn ends(bottles: &Store) -> Ends<'_, impl Fn(&Record) -> Result<()>> {
    Ends { bottles, agent: |_: &Record| Ok(()) }
}

fn record(state: &Planned, path: PathBuf) -> Record {
    let mut record = Record::new(&state.spec, &state.base.name, &state.base.home, path);
    record.renamed.clone_from(&state.program.renamed);
    record.groups = state.limits.groups_of(&state.base.name);
    record.memory_bytes = Some(state.limits.bounds.memory_bytes);
    record
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
    let begun =
        bwrap::begin(&state.base.bwrap, &dir.path, PART, door::make(&dir.path)?, None, &record.groups)?;
    record.processes.push(begun.process.clone());
    let guard = start_guard(call, state, dir)?;
    // The sandbox stays the last, the first to go.
    record.processes.insert(0, guard.process.clone());
    layout::make(dir, state.base.bwrap.run_as_uid)?;
    copy_workspace(&state.base.guest(call, &state.spec, dir))?;
    call.check()?;
    etc()?;
    begun.exec_bwrap(&state.base.bwrap, sandbox::arguments(state, dir)?)?;
    // Both die with this process, so nothing is lost when it dies before it can say which they are.
    dir.save(record)?;
    set_up(call, state, dir)?;
    guard.await_ready(call)?;
    record.is_ready = true;
    dir.save(record)?;
    step.done();
    Ok(())
}

/// Starts the guard: the bottle's only way out. The bottle's programs have its own user.
fn start_guard(call: &Call, state: &Planned, dir: &RunDir) -> Result<Starting> {
    HostGuard { spec: &state.spec, bwrap: &state.base.bwrap, dir: &dir.path, access: None }.start(call)
}

/// Sends process 1 its setup, whose answer shows that it runs.
fn set_up(call: &Call, state: &Planned, dir: &RunDir) -> Result<()> {
    let env = environment::of(&state.spec, call, basis(state), &state.grants.variables)?;
    let mut setup = Setup::new(env);
    setup.relay = Some(environment::relay(&state.spec));
    setup.limits = state.limits.of_processes();
    let failed = || BwrapError::StartPart { part: PART, said: last_words(&bwrap::errors(&dir.path, PART)) };
    low_ports::open(call, dir, &state.base.name).map_err(|failure| {
        match last_words(&bwrap::errors(&dir.path, PART)) {
            said if said.is_empty() => failure,
            _ => failed().into(),
        }
    })?;
    let stream =
        door::send_request(&dir.path, &state.base.name, &Request::Setup(setup), &[]).map_err(|_| failed())?;
    match door::answer(call, &stream)? {
        Some((Reply::Ready, _)) => Ok(()),
        _ => Err(failed().into()),
    }
}

/// Returns the variables of every program that none is granted.
fn basis(state: &Planned) -> [(String, String); 6] {
    [
        ("HOME", state.base.home.path.as_str()),
        LOCALE,
        ("LOGNAME", USER),
        ("PATH", &state.base.home.search_path(&state.grants.search)),
        ("SHELL", "/bin/bash"),
        ("USER", USER),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
}
