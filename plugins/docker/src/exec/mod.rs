//! Running a program in a bottle on the caller's streams, with a terminal or without.

mod by_door;
mod environment;
mod limit;
mod output;
mod session;
mod start;
mod stops;

use std::time::{Duration, SystemTime};

use claude_bottle_plugin_api::{
    Bottle, Call, ExecRequest, ExecRole, ExitStatus, Failure, FailureKind, Result,
};

use crate::config::Config;
use crate::engine::{Engine, EngineError, ExecSpec, Run, exit_code, run};
use crate::error::DockerError;
use crate::plan::BottleState;
use session::Session;

pub(crate) use by_door::exec_by_door;

/// The exit code of a program that is not there, as a shell has it.
const NOT_FOUND: i32 = 127;

/// Runs a program and waits for its end.
pub(crate) async fn exec(
    engine: &impl Engine,
    config: &Config,
    call: &Call,
    bottle: &Bottle,
    request: &ExecRequest,
) -> Result<ExitStatus> {
    let state: BottleState = bottle.state()?;
    let command = request.command_line();
    let Some(program) = command.first().cloned() else {
        return Err(Failure::new(FailureKind::Invalid, "the command is empty"));
    };
    let io = request.io()?;
    let token = start::token();
    let env = environment::of(&environment::proxy(engine, &state).await?, &state, request);
    let spec = ExecSpec {
        command: start::words(&token, &io, request, command)?,
        // That of the container: the agent's.
        user: String::new(),
        env: env.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        working_dir: None,
        tty: request.tty,
        stdin: true,
    };
    let begun = SystemTime::now();
    let failed = |source: EngineError| match source {
        // Somebody has closed the bottle: its container, and with it the program, is gone or about to go.
        EngineError::NotFound { .. } | EngineError::Conflict { .. } => {
            DockerError::Closed { program: program.clone() }
        }
        source => DockerError::RunInside { program: program.clone(), source },
    };
    let id = engine.create_exec(&state.agent, &spec).await.map_err(failed)?;
    config.fault.after(call, "create-exec").await?;
    let attached = engine.start_exec(&id, request.tty).await.map_err(failed)?;
    let in_gvisor = limit::in_gvisor(&state);
    let session =
        Session { engine, container: &state.agent, token: &token, exec: &id, tty: request.tty, in_gvisor };
    if let Err(failure) = config.fault.strike(call, "start-exec").await {
        session.abandon(attached).await;
        return Err(failure);
    }
    session.run(call, attached, io).await?;
    config.fault.strike(call, "exec-done").await?;
    let code = match exit_code(engine, &id).await {
        // With the container the engine forgets what was run in it.
        Err(error) if in_gvisor && error.is_not_found() => limit::CONTAINER_ENDED,
        Err(error) if error.is_not_found() => return Err(lost(engine, &state.agent, program).await.into()),
        code => code.map_err(failed)?,
    };
    if code == NOT_FOUND && request.role == ExecRole::Agent && was_missing(engine, &state, &token).await {
        return Err(DockerError::NoProgram { program, image: state.image }.into());
    }
    status(engine, &state, (code, begun), program).await
}

/// Returns how a program ended, and whether it met a limit or was ended with its bottle.
async fn status(
    engine: &impl Engine,
    state: &BottleState,
    (code, begun): (i32, SystemTime),
    program: String,
) -> Result<ExitStatus> {
    let mut status = ExitStatus::code(code);
    status.limit = limit::reached(engine, state, code, begun).await;
    let was_ended = matches!(code, limit::KILLED | limit::CONTAINER_ENDED) && status.limit.is_none();
    if was_ended && has_ended(engine, &state.agent).await {
        return Err(DockerError::Closed { program }.into());
    }
    Ok(status)
}

/// Returns why the engine does not know a program that ran.
async fn lost(engine: &impl Engine, container: &str, program: String) -> DockerError {
    match engine.inspect_container(container).await {
        // An engine that was restarted remembers its containers, but only the main process of each.
        Ok(_) => DockerError::LostProgram { program },
        Err(error) if error.is_not_found() => DockerError::Closed { program },
        Err(source) => DockerError::RunInside { program, source },
    }
}

/// Returns `true` if the bottle's own container has ended, which ends every program in it.
async fn has_ended(engine: &impl Engine, container: &str) -> bool {
    // The engine may note the end of the program a moment before that of the container.
    for attempt in 0..5_u64 {
        match engine.inspect_container(container).await {
            Ok(found) if found.running => tokio::time::sleep(Duration::from_millis(10 * attempt)).await,
            Ok(_) => return true,
            Err(error) => return error.is_not_found(),
        }
    }
    false
}

/// Returns `true` if the program was not found. Its exit code does not say it: a program may end with the same one.
async fn was_missing(engine: &impl Engine, state: &BottleState, token: &str) -> bool {
    let spec = ExecSpec { command: start::was_missing(token), ..ExecSpec::default() };
    let said = run(engine, &state.agent, &Run { spec, ..Run::default() }).await;
    said.is_ok_and(|output| output.code == 0)
}
