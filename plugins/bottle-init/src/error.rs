//! What can go wrong here.

use std::io;

/// An error of one of the program's faces.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InitError {
    /// The command line is not one of ours.
    #[error("unknown command line; this program is started by claude-bottle's bubblewrap backend")]
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
    #[error("{step}")]
    TakeStep {
        /// The step.
        step: String,
        /// Why.
        source: io::Error,
    },
    /// A program could not be started.
    #[error("run `{program}`")]
    RunProgram {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
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
    fn step<S: Into<String>>(self, step: impl FnOnce() -> S) -> Result<T, InitError>;
}

impl<T, E: Into<io::Error>> StepExt<T> for Result<T, E> {
    fn step<S: Into<String>>(self, step: impl FnOnce() -> S) -> Result<T, InitError> {
        self.map_err(|error| InitError::TakeStep { step: step().into(), source: error.into() })
    }
}

impl InitError {
    /// Returns the exit code for it: 127 not found, 126 not runnable, as a shell has them; 125 the rest.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::RunProgram { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            Self::RunProgram { .. } => 126,
            _ => 125,
        }
    }
}
