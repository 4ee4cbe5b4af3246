//! Running a program through the bottle's door, where the guard is on this machine: no engine is asked to start it.

use std::path::Path;
use std::time::SystemTime;

use claude_bottle_door::{self as door, Ended, Inside};
use claude_bottle_plugin_api::{Bottle, Call, ExecRequest, ExitStatus, FailureKind, Result};

use super::{environment, status};
use crate::config::Config;
use crate::engine::Engine;
use crate::error::DockerError;
use crate::plan::BottleState;

/// Runs a program and waits for its end. `dir` is the bottle's directory on this machine.
pub(crate) async fn exec_by_door(
    engine: &impl Engine,
    config: &Config,
    (call, dir): (&Call, &Path),
    bottle: &Bottle,
    request: &ExecRequest,
) -> Result<ExitStatus> {
    let state: BottleState = bottle.state()?;
    let command = request.command_line();
    let program = command.first().cloned().unwrap_or_default();
    let env = environment::of(&environment::proxy(engine, &state).await?, &state, request);
    config.fault.after(call, "create-exec").await?;
    let inside = Inside { dir, name: &state.names.agent, directory: &state.workspace };
    let begun = SystemTime::now();
    // This blocks the task, which is fine: logs are followed on other threads.
    let ended = door::exec(call, inside, request, command, env).map_err(|failure| match failure.kind {
        FailureKind::NotFound => DockerError::Closed { program: program.clone() }.into(),
        _ => failure,
    })?;
    config.fault.strike(call, "exec-done").await?;
    match ended {
        Ended::Code(code) => status(engine, &state, (code, begun), program).await,
        Ended::Missing => Err(DockerError::NoProgram { program, image: state.image }.into()),
    }
}
