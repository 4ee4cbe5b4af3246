//! exec: a program in the bottle, through its door.

use claude_bottle_door::{self as door, Ended, Inside};
use claude_bottle_kit::limits;
use claude_bottle_plugin_api::{Bottle, Call, ExecRequest, ExitStatus, Result};

use crate::oom::was_out_of_memory;
use crate::{DirectoryError, Record};

/// Runs a program and waits for its end.
///
/// # Errors
/// Fails when the bottle does not run, when the agent's program is not in it, and when the call is cancelled; the program has
/// ended then.
pub fn exec(call: &Call, bottle: &Bottle, request: &ExecRequest) -> Result<ExitStatus> {
    call.check()?;
    let record: Record = bottle.state()?;
    let mut command = request.command_line();
    let renamed = record.renamed.as_ref();
    if let Some(program) = command.first_mut()
        && let Some((outside, inside)) = renamed.filter(|(outside, _)| outside == program)
    {
        tracing::debug!(outside, inside, "the agent's program has another name inside");
        program.clone_from(inside);
    }
    let named = command.first().cloned().unwrap_or_default();
    let term = request.term.clone().filter(|_| request.tty).map(|term| ("TERM".to_owned(), term));
    let env = request.env.clone().into_iter().chain(term).collect();
    let inside = Inside { dir: &record.dir, name: &record.name, directory: &record.directory };
    match door::exec(call, inside, request, command, env)? {
        Ended::Code(code) => Ok(status(&record, code)),
        Ended::Missing => Err(DirectoryError::NoProgram { program: named }.into()),
    }
}

fn status(record: &Record, code: i32) -> ExitStatus {
    let mut status = ExitStatus::code(code);
    if code == 137 && was_out_of_memory(&record.groups) {
        let memory = record.memory_bytes.map(limits::amount);
        status.limit = Some(limits::reached(&record.bottle, "memory", memory, "memory"));
    }
    status
}
