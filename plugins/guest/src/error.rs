//! What can go wrong here.

use std::io;

/// An error of one of the program's subcommands.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuestError {
    /// The command line is not one of ours.
    #[error("unknown command line; this program is started by a backend of claude-bottle")]
    ReadCommandLine,
    /// The process that started this one is gone.
    #[error("the process that started this one is gone")]
    FindParent,
    /// There is no filter for this machine.
    #[error("no system call filter for the architecture `{arch}`")]
    BuildFilter {
        /// The architecture.
        arch: &'static str,
    },
    /// A step towards the start of another program failed.
    #[error("cannot {step}")]
    TakeStep {
        /// The step.
        step: String,
        /// Why.
        source: io::Error,
    },
    /// A program could not be started.
    #[error("cannot run `{program}`")]
    RunProgram {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// A program that was run for its work failed.
    #[error("`{program}` ended with {status}")]
    EndProgram {
        /// The program.
        program: &'static str,
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// The guard refused a connection.
    #[error("the guard answered `{answer}`")]
    PassGuard {
        /// The first line of its answer, escaped and cut.
        answer: String,
    },
}

/// Names the step an error happened in.
pub(crate) trait StepExt<T> {
    /// Makes the error the source of a failed step.
    fn step<S: Into<String>>(self, step: impl FnOnce() -> S) -> Result<T, GuestError>;
}

impl<T, E: Into<io::Error>> StepExt<T> for Result<T, E> {
    fn step<S: Into<String>>(self, step: impl FnOnce() -> S) -> Result<T, GuestError> {
        self.map_err(|error| GuestError::TakeStep { step: step().into(), source: error.into() })
    }
}

impl GuestError {
    /// Says that a program could not be started.
    pub(crate) fn run(program: &std::process::Command, source: io::Error) -> Self {
        Self::RunProgram { program: program.get_program().to_string_lossy().into_owned(), source }
    }

    /// Returns the error and its causes as one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        text
    }

    /// Returns the exit code for it: 127 not found, 126 not runnable, as a shell has them; 125 the rest.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::RunProgram { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            Self::RunProgram { .. } => 126,
            _ => 125,
        }
    }
}
