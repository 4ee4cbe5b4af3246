//! Failures on demand, for tests of undoing: the setting `FAULT` (`CLAUDE_BOTTLE_FAULT`).
//!
//! `after:STEP` fails once STEP is done; `hang:STEP` stays there until the call is cancelled or the process is killed;
//! `pause:STEP` stops the process there, as SIGSTOP does, until it gets SIGCONT. The steps are listed below, and by the refusal of any
//! other. A release build knows the setting only with the feature `fault-injection`; otherwise it refuses it.

use claude_bottle_plugin_api::{Call, Context, ErrorExt, Failure, FailureKind, Result};
use rustix::process::{Signal, getpid, kill_process};

use crate::error::DockerError;

/// The steps of a verb, in the order in which they can be reached.
type Steps = (&'static str, &'static [&'static str]);

/// Those of every bottle.
const STEPS: &[Steps] = &[
    ("launch", &["agent-image", "create-agent", "start-agent", "copy-in"]),
    ("provision", &["set-up"]),
    ("exec", &["create-exec", "exec-done"]),
    ("close", &["kill-agent", "remove-agent", "remove-volume", "sweep"]),
];

/// Those that are there only where the bottle's guard is a process of this machine.
const HOST_STEPS: &[Steps] = &[("launch", &["start-guard", "await-guard"]), ("close", &["end-guard"])];

/// Those that are there only with a sidecar.
const SIDECAR_STEPS: &[Steps] = &[
    (
        "launch",
        &["sidecar-image", "create-egress-network", "create-sidecar", "start-sidecar", "await-sidecar"],
    ),
    // Without a sidecar the bottle's own process starts it.
    ("exec", &["start-exec"]),
    ("close", &["save-log", "remove-sidecar", "remove-networks"]),
];

/// Steps of launch that are there only when a network links agent and sidecar.
const NETWORK_STEPS: &[Steps] = &[("launch", &["create-internal-network", "connect-sidecar"])];

fn is_step(step: &str) -> bool {
    let all = [STEPS, HOST_STEPS, SIDECAR_STEPS, NETWORK_STEPS];
    all.into_iter().flatten().any(|(_, steps)| steps.contains(&step))
}

/// A failure that was asked for, or none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fault(Option<(Action, String)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Fail,
    Hang,
    Pause,
}

impl Fault {
    /// Reads the setting.
    pub(crate) fn read(context: &Context) -> Result<Self> {
        let Some(text) = context.setting("FAULT") else { return Ok(Self(None)) };
        let invalid = || {
            let message = format!("setting CLAUDE_BOTTLE_FAULT is `{}`", text.escape_debug());
            Failure::new(FailureKind::Invalid, message)
        };
        let usage = || {
            let failure =
                invalid().hint("use after:STEP, hang:STEP or pause:STEP with one of the steps below");
            let all = [
                ("", STEPS),
                ("with `guard: host` ", HOST_STEPS),
                ("with `guard: sidecar` ", SIDECAR_STEPS),
                ("with `link: network` ", NETWORK_STEPS),
            ];
            let line = |way: &str, (verb, steps): &Steps| format!("{way}in {verb}: {}", steps.join(", "));
            let lines =
                all.into_iter().flat_map(|(way, steps)| steps.iter().map(move |step| line(way, step)));
            lines.fold(failure, Failure::hint)
        };
        if !cfg!(any(debug_assertions, feature = "fault-injection")) {
            return Err(invalid().hint("this build injects no faults; unset CLAUDE_BOTTLE_FAULT"));
        }
        let (action, step) = text.split_once(':').ok_or_else(usage)?;
        let action = match action {
            "after" => Action::Fail,
            "hang" => Action::Hang,
            "pause" => Action::Pause,
            _ => return Err(usage()),
        };
        if !is_step(step) {
            return Err(usage());
        }
        Ok(Self(Some((action, step.to_owned()))))
    }

    /// Ends a step: fails when the call was cancelled meanwhile, or when that was asked for.
    pub(crate) async fn after(&self, call: &Call, step: &str) -> Result<()> {
        self.strike(call, step).await?;
        call.check()
    }

    /// Fails when that was asked for: the end of a step after which the verb goes on also when it is cancelled.
    pub(crate) async fn strike(&self, call: &Call, step: &str) -> Result<()> {
        debug_assert!(is_step(step), "`{step}` is not in the list of steps");
        match &self.0 {
            Some((Action::Fail, at)) if at == step => {
                Err(DockerError::Injected { step: step.to_owned() }.into())
            }
            Some((Action::Hang, at)) if at == step => {
                // The tests wait for this line.
                tracing::info!(step, "staying at the step");
                Err(claude_bottle_engine::cancelled(call).await)
            }
            Some((Action::Pause, at)) if at == step => {
                let paused = kill_process(getpid(), Signal::STOP);
                paused.failure(FailureKind::Internal, || format!("cannot pause at step `{step}`"))
            }
            _ => Ok(()),
        }
    }
}
