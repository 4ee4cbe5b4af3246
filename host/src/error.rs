//! What a command ends with: a kind, which is its exit code, the causes, and advice.

use std::fmt::Display;
use std::process::ExitCode;

use claude_bottle_plugin_api::{ExitStatus, Failure, FailureKind};

use crate::egress::EgressError;
use crate::egress::roots::RootsError;
use crate::egress::upstream::UpstreamError;
use crate::manifest::ManifestErrors;
use crate::plugins::PluginError;
use crate::plugins::pin::PinError;
use crate::trust::TrustError;

/// How the program ends when it is not the agent's own exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Refused or failed.
    Failed,
    /// The command line is wrong.
    Usage,
    /// A fault of ours.
    Bug,
    /// `start` or `exec` failed before or beside the agent.
    Start,
    /// Interrupted.
    Interrupted,
}

impl Exit {
    /// Returns the exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Bug => 70,
            Self::Start => 125,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Passes on the exit code of a program in a bottle.
pub fn agent_exit(status: &ExitStatus) -> ExitCode {
    ExitCode::from(u8::try_from(status.code & 0xff).unwrap_or(u8::MAX))
}

/// A failed command: what is printed, and how the program ends.
#[derive(Debug)]
pub struct CliError {
    /// How the program ends.
    pub exit: Exit,
    /// What went wrong, with its causes.
    pub error: anyhow::Error,
    /// More about it, several lines, printed as they are.
    pub details: Option<String>,
    /// What else went wrong, while undoing.
    pub others: Vec<anyhow::Error>,
    /// What to do, each a sentence or a command to paste.
    pub hints: Vec<String>,
}

/// The result of a command.
pub type CliResult<T = ()> = Result<T, CliError>;

impl CliError {
    /// Makes an error from a message alone.
    pub fn new(exit: Exit, message: impl Display + Send + Sync + 'static) -> Self {
        Self {
            exit,
            error: anyhow::anyhow!("{message}"),
            details: None,
            others: Vec::new(),
            hints: Vec::new(),
        }
    }

    /// Adds advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Changes how the program ends, unless it was interrupted.
    #[must_use]
    pub fn exit(mut self, exit: Exit) -> Self {
        if self.exit != Exit::Interrupted {
            self.exit = exit;
        }
        self
    }

    /// Adds what went wrong while undoing, with its advice.
    #[must_use]
    pub fn also(mut self, other: Self) -> Self {
        self.others.push(other.error);
        self.others.extend(other.others);
        self.hints.extend(other.hints);
        self
    }
}

impl From<anyhow::Error> for CliError {
    fn from(error: anyhow::Error) -> Self {
        let upstream = error.downcast_ref::<UpstreamError>().map(UpstreamError::hint);
        let egress = error.downcast_ref::<EgressError>().map(EgressError::hint);
        let roots = error.downcast_ref::<RootsError>().and_then(RootsError::hint);
        let hints = [upstream, egress, roots].into_iter().flatten().collect();
        Self { exit: Exit::Failed, error, details: None, others: Vec::new(), hints }
    }
}

impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        anyhow::Error::new(error).into()
    }
}

impl From<Failure> for CliError {
    fn from(failure: Failure) -> Self {
        let exit = match failure.kind {
            FailureKind::Cancelled => Exit::Interrupted,
            _ => Exit::Failed,
        };
        let undone = failure.undo.iter().cloned().map(Self::from);
        let main = Self {
            exit,
            hints: failure.hints.clone(),
            error: chain(failure.message.clone(), &failure.causes),
            details: None,
            others: Vec::new(),
        };
        undone.fold(main, Self::also)
    }
}

impl From<PluginError> for CliError {
    fn from(error: PluginError) -> Self {
        let hints = error.hints();
        Self { hints, ..anyhow::Error::new(error).into() }
    }
}

impl From<PinError> for CliError {
    fn from(error: PinError) -> Self {
        let hint = error.hint();
        Self::from(anyhow::Error::new(error)).hint(hint.unwrap_or_default())
    }
}

impl From<ManifestErrors> for CliError {
    fn from(errors: ManifestErrors) -> Self {
        let (details, hints) = (errors.report(), errors.hints().into_iter().map(str::to_owned).collect());
        Self { details: Some(details), hints, ..anyhow::Error::new(errors).into() }
    }
}

impl From<TrustError> for CliError {
    fn from(error: TrustError) -> Self {
        let hint = error.hint().unwrap_or_default();
        Self::from(anyhow::Error::new(error)).hint(hint)
    }
}

/// Builds a chain of errors from texts, outermost first.
fn chain(message: String, causes: &[String]) -> anyhow::Error {
    let mut texts = causes.iter().rev().cloned().chain([message]);
    let innermost = anyhow::Error::msg(texts.next().unwrap_or_default());
    texts.fold(innermost, anyhow::Error::context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_keeps_its_causes_and_what_undoing_cost() {
        let undo = Failure::new(FailureKind::Internal, "remove network `n`").hint("docker network rm n");
        let io = std::io::Error::other("refused");
        let failure =
            Failure::new(FailureKind::Conflict, "create network `n`").caused_by(&io).with_undo(vec![undo]);
        let error = CliError::from(failure);
        assert_eq!(format!("{:#}", error.error), "create network `n`: refused");
        assert_eq!(error.others.len(), 1);
        assert_eq!(error.hints, ["docker network rm n"]);
    }
}
