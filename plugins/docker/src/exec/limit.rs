//! Which of the bottle's limits ended a program.

use std::time::{Duration, SystemTime};

use claude_bottle_kit::limits::{self, amount};

use crate::engine::{Engine, ExecSpec, Output, Run, container_exit_code, run};
use crate::image::guard::GUEST;
use crate::plan::BottleState;

/// The exit code of a program that was ended by SIGKILL.
pub(super) const KILLED: i32 = 128 + 9;
/// The exit code of a program whose container ended under it. gVisor ends as a whole when it meets a limit.
pub(super) const CONTAINER_ENDED: i32 = 128;
/// The exit code of gVisor when the host refuses it another task, as that of any Go program.
const NO_TASK: i64 = 2;
/// How often, and how long each time, it is tried to look inside.
const LOOKS: (u32, Duration) = (10, Duration::from_millis(50));

/// Returns which limit it was and what raises it; `None` when no limit is known to have been met.
pub(super) async fn reached(
    engine: &impl Engine,
    state: &BottleState,
    code: i32,
    begun: SystemTime,
) -> Option<String> {
    if code == 0 {
        return None;
    }
    let bounds = state.bounds.map(|resolved| resolved.bounds);
    let ended = if in_gvisor(state) && code == CONTAINER_ENDED {
        container_exit_code(engine, &state.agent).await
    } else {
        None
    };
    if (code == KILLED || ended.is_some())
        && engine.out_of_memory_since(&state.agent, begun).await.unwrap_or(false)
    {
        let memory = bounds.map(|bounds| amount(bounds.memory_bytes));
        return Some(limits::reached(&state.bottle, "memory", memory, "memory"));
    }
    if ended == Some(NO_TASK) || ended.is_none() && ran_out_of_processes(engine, &state.agent).await {
        let processes = bounds.map(|bounds| bounds.pids.to_string());
        return Some(limits::reached(&state.bottle, "process", processes, "pids"));
    }
    None
}

/// Returns `true` if the bottle was made to run in gVisor.
pub(super) fn in_gvisor(state: &BottleState) -> bool {
    state.bounds.is_some_and(|bounds| bounds.sandbox_tasks.is_some())
}

async fn ran_out_of_processes(engine: &impl Engine, container: &str) -> bool {
    let words = [GUEST, "process-limit-hits"].map(str::to_owned);
    let spec = ExecSpec { command: words.into(), ..ExecSpec::default() };
    let look = Run { spec, ..Run::default() };
    let (tries, pause) = LOOKS;
    for _ in 0..tries {
        // It cannot be run as long as those that used the limit up have not all been reaped.
        if let Ok(output @ Output { code: 0, .. }) = run(engine, container, &look).await {
            let hits = String::from_utf8_lossy(&output.stdout).trim().parse::<u64>();
            return hits.is_ok_and(|hits| hits > 0);
        }
        tokio::time::sleep(pause).await;
    }
    false
}
