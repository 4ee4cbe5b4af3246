//! Failures on demand, for tests of undoing: the setting `FAULT` (`CLAUDE_BOTTLE_FAULT`).
//!
//! `after:STEP` fails once STEP is done; `hang:STEP` stays there until the call is cancelled or the process is killed. The
//! steps are [`STEPS`]. A release build knows the setting only with the feature `fault-injection`; otherwise it refuses it.

use claude_bottle_plugin_api::{Call, Context, Failure, FailureKind, Result};

use crate::error::DockerError;

/// The steps of launch, provision and close, in the order in which they can be reached.
pub(crate) const STEPS: &[&str] = &[
    "create-internal-network",
    "create-egress-network",
    "agent-image",
    "sidecar-image",
    "create-sidecar",
    "configure-sidecar",
    "connect-sidecar",
    "start-sidecar",
    "create-agent",
    "start-agent",
    "await-sidecar",
    "copy-in",
    "set-up",
];

/// A failure that was asked for, or none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fault(Option<(Action, String)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Fail,
    Hang,
}

impl Fault {
    /// Reads the setting.
    pub(crate) fn read(context: &Context) -> Result<Self> {
        let Some(text) = context.setting("FAULT") else { return Ok(Self(None)) };
        let invalid = || {
            Failure::new(
                FailureKind::Invalid,
                format!("setting CLAUDE_BOTTLE_FAULT is `{}`", text.escape_debug()),
            )
            .hint(format!("use after:STEP or hang:STEP with one of: {}", STEPS.join(", ")))
        };
        if !cfg!(any(debug_assertions, feature = "fault-injection")) {
            return Err(invalid().hint("this build injects no faults; unset CLAUDE_BOTTLE_FAULT"));
        }
        let (action, step) = text.split_once(':').ok_or_else(invalid)?;
        let action = match action {
            "after" => Action::Fail,
            "hang" => Action::Hang,
            _ => return Err(invalid()),
        };
        if !STEPS.contains(&step) {
            return Err(invalid());
        }
        Ok(Self(Some((action, step.to_owned()))))
    }

    /// Ends a step: fails when the call was cancelled meanwhile, or when that was asked for.
    pub(crate) async fn after(&self, call: &Call, step: &str) -> Result<()> {
        debug_assert!(STEPS.contains(&step), "`{step}` is not in the list of steps");
        match &self.0 {
            Some((Action::Fail, at)) if at == step => {
                Err(DockerError::Injected { step: step.to_owned() }.into())
            }
            Some((Action::Hang, at)) if at == step => {
                // The tests wait for this line.
                tracing::info!(step, "staying at the step");
                Err(crate::cancel::cancelled(call).await)
            }
            _ => call.check(),
        }
    }
}
