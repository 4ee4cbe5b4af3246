//! Which of the bottle's limits ended a program.

use std::time::{Duration, SystemTime};

use crate::engine::{Engine, ExecSpec, Output, Run, run};
use crate::limits::gib;
use crate::plan::{BottleState, USER};

/// The exit code of a program that was ended by SIGKILL.
pub(super) const KILLED: i32 = 128 + 9;
/// The exit code of a program whose container ended under it. gVisor ends as a whole when it meets a limit.
pub(super) const CONTAINER_ENDED: i32 = 128;
/// The exit code of gVisor when the host refuses it another task, as that of any Go program.
const NO_TASK: i64 = 2;
/// How often, and how long each time, the engine is asked whether a container has ended.
const TRIES: (u32, Duration) = (40, Duration::from_millis(50));
/// How often, and how long each time, it is tried to look inside.
const LOOKS: (u32, Duration) = (10, Duration::from_millis(50));
/// How often the limit on processes was hit, in both kinds of control groups:
/// <https://docs.kernel.org/admin-guide/cgroup-v1/pids.html>.
const PIDS_EVENTS: [&str; 2] = ["/sys/fs/cgroup/pids/pids.events", "/sys/fs/cgroup/pids.events"];

/// Says which limit it was and what raises it; `None` when no limit is known to have had a part in it.
pub(super) async fn reached(
    engine: &impl Engine,
    state: &BottleState,
    code: i32,
    begun: SystemTime,
) -> Option<String> {
    if code == 0 {
        return None;
    }
    let of = |amount: Option<String>| amount.map_or_else(String::new, |amount| format!(" of {amount}"));
    let raise = |limit: &str| format!("raise `bottles.{}.limits.{limit}`", state.bottle);
    let ended = if in_gvisor(state) && code == CONTAINER_ENDED {
        exit_code_of(engine, &state.agent).await
    } else {
        None
    };
    if (code == KILLED || ended.is_some())
        && engine.out_of_memory_since(&state.agent, begun).await.unwrap_or(false)
    {
        let amount = of(state.bounds.map(|bounds| gib(bounds.memory_bytes)));
        return Some(format!("memory limit{amount}; {}", raise("memory")));
    }
    if ended == Some(NO_TASK) || ended.is_none() && ran_out_of_processes(engine, &state.agent).await {
        let amount = of(state.bounds.map(|bounds| bounds.pids.to_string()));
        return Some(format!("process limit{amount}; {}", raise("pids")));
    }
    None
}

/// Says whether the bottle was made to run in gVisor.
pub(super) fn in_gvisor(state: &BottleState) -> bool {
    state.bounds.is_some_and(|bounds| bounds.sandbox_tasks.is_some())
}

/// Returns the exit code of a container that has ended, or does so within seconds: the engine learns of it later than of the
/// end of what ran inside, and of the lack of memory that was the reason in between.
async fn exit_code_of(engine: &impl Engine, container: &str) -> Option<i64> {
    let (tries, pause) = TRIES;
    for _ in 0..tries {
        let found = engine.inspect_container(container).await.ok()?;
        if !found.running {
            return Some(found.exit_code);
        }
        tokio::time::sleep(pause).await;
    }
    None
}

async fn ran_out_of_processes(engine: &impl Engine, container: &str) -> bool {
    let words = ["cat"].into_iter().chain(PIDS_EVENTS);
    let spec = ExecSpec {
        command: words.map(str::to_owned).collect(),
        user: USER.to_owned(),
        ..ExecSpec::default()
    };
    let look = Run { spec, ..Run::default() };
    let (tries, pause) = LOOKS;
    for _ in 0..tries {
        // One of the two is not there, which makes it 1. Anything else: it could not be run, as long as those that used the
        // limit up have not all been reaped.
        if let Ok(output @ Output { code: 0 | 1, .. }) = run(engine, container, &look).await {
            let text = String::from_utf8_lossy(&output.stdout);
            let hits = text.lines().filter_map(|line| line.strip_prefix("max ")?.trim().parse::<u64>().ok());
            return hits.sum::<u64>() > 0;
        }
        tokio::time::sleep(pause).await;
    }
    false
}
