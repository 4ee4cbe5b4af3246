//! Work in another process: a bottle is a document, and whoever has it can exec into the bottle or close it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::abi::host::{HostServices, Module};
use crate::{
    Bottle, Context, ExecRole, Failure, FailureKind, LogLevel, LogRecord, Owner, Plan, ReloadRequest, Result,
    Spec,
};

use super::bench::{Stop, call};
use super::{exporting, program};

/// A way to run a task in another process.
pub trait Elsewhere: Send + Sync {
    /// Runs the task with [`perform`] in another process that has loaded the same plug-in.
    ///
    /// # Errors
    /// The backend's own failure, or that of reaching the process.
    fn run(&self, task: &Task) -> Result<Value>;
}

/// What another process is asked to do, as a document.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Task {
    /// What the backend is opened with there.
    pub context: Context,
    /// What to do.
    pub action: Action,
}

/// What another process is asked to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Launch the plan of a spec; the answer is the bottle.
    Launch(Box<Spec>, Plan),
    /// Run a program and answer with its output.
    Exec(Bottle, Vec<String>),
    /// Close a bottle.
    Close(Bottle),
    /// Halt a bottle.
    Halt(Bottle),
    /// Export a bottle's working directory and answer with how much there is.
    Export(Bottle),
    /// Give a bottle's proxy another policy.
    Reload(Bottle, Value),
}

struct Quiet;

impl HostServices for Quiet {
    fn enabled(&self, _level: LogLevel) -> bool {
        false
    }

    fn log(&self, _record: LogRecord) {}

    fn owner_alive(&self, _owner: &Owner) -> Result<bool> {
        Ok(true)
    }
}

/// Does a task with an instance of its own; what the other process calls.
///
/// # Errors
/// The backend's own.
pub fn perform(module: &Module, task: &Task) -> Result<Value> {
    let opened = module.open(Arc::new(Quiet), &task.context)?;
    match &task.action {
        Action::Launch(spec, plan) => {
            let bottle = opened.launch(&call(), spec, plan)?;
            serde_json::to_value(bottle)
                .map_err(|error| Failure::new(FailureKind::Internal, "write the bottle").caused_by(&error))
        }
        Action::Exec(bottle, command) => {
            let ended = program::run(&opened, bottle, ExecRole::Command, command, b"")?;
            Ok(json!({ "code": ended.code, "stdout": ended.stdout_text() }))
        }
        Action::Close(bottle) => opened.close(&call(), bottle).map(|()| Value::Null),
        Action::Halt(bottle) => opened.halt(&call(), bottle).map(|()| Value::Null),
        Action::Reload(bottle, policy) => {
            let answer = opened.reload(&call(), bottle, &ReloadRequest::new(policy.clone()))?;
            Ok(json!({ "applied": answer.applied }))
        }
        Action::Export(bottle) => match exporting::workspace(&opened, bottle) {
            Ok((exported, _)) => Ok(json!({ "entries": exported.entries })),
            Err(Stop::Fail(reason) | Stop::Skip(reason)) => Err(Failure::new(FailureKind::Internal, reason)),
        },
    }
}
