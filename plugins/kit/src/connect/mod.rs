//! Joins the host's end of a connection to a port of a bottle: by a program inside, or by a socket that leads there.
//!
//! What crosses into the bottle are pipes. A socket of the host's would be one of the host's network, and could be connected to
//! something else from inside.

mod alone;
mod flow;
mod join;
mod words;

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::thread;

use claude_bottle_plugin_api::{
    Call, ConnectRequest, Connected, ErrorExt, ExecRequest, ExecRole, ExitStatus, Failure, FailureKind,
    Result,
};

use alone::Alone;
use flow::{End, Flow};
use join::{Join, Outcome};
use words::Words;

/// The most of what the program inside says that is repeated in a message.
const MOST_SAID: usize = 300;

/// Joins the request's stream to a port by `GUEST join PORT` in the bottle, which `exec` runs.
///
/// The program says on its standard error what a pipe cannot: `joined`, `refused REASON`, and `ended N` once the server has ended
/// after N bytes, since an engine tells of no end of standard output alone.
///
/// # Errors
/// As [`claude_bottle_plugin_api::Backend::connect`].
pub fn by_program(
    call: &Call,
    request: &ConnectRequest,
    guest: &str,
    exec: impl FnOnce(&Call, &ExecRequest) -> Result<ExitStatus>,
) -> Result<Connected> {
    let pipe = || io::pipe().failure(FailureKind::Internal, || "cannot make a pipe");
    let ((stdin, feed), (out, stdout), (err, stderr)) = (pipe()?, pipe()?, pipe()?);
    let client = request.stream()?;
    let command = [guest, "join", &request.port.to_string()].map(str::to_owned).into();
    let mut program = ExecRequest::new(command, ExecRole::Command);
    program.streams = [stdin.as_raw_fd(), stdout.as_raw_fd(), stderr.as_raw_fd()];
    let join = Join {
        up: Flow::new(End::Socket(copy(&client)?), End::pipe(feed.into())?),
        down: Flow::new(End::pipe(out.into())?, End::Socket(client)),
        words: Some(Words::from(End::pipe(err.into())?)),
    };
    let alone = Arc::new(Alone::new(call)?);
    let (ended, (outcome, words)) = thread::scope(|scope| {
        let carry = || {
            let done = join.run(call.cancel_fd().as_ref());
            // Nothing else would end a program whose client has left, and whose server says nothing.
            if done.1.source().is_some() {
                alone.end();
            }
            done
        };
        let carrying = thread::Builder::new().name("connection".to_owned()).spawn_scoped(scope, carry);
        let carrying = carrying.failure(FailureKind::Internal, || "cannot start a thread")?;
        let ended = exec(&Call::new(Arc::<Alone>::clone(&alone)), &program);
        // The other side sees the program's end only when every copy of its streams is closed.
        drop((stdin, stdout, stderr));
        let panicked = || (Outcome::Cut, Words::default());
        Ok::<_, Failure>((ended, carrying.join().unwrap_or_else(|_| panicked())))
    })?;
    judge(call, request.port, ended, outcome, &words)
}

/// Joins the request's stream to a socket that is connected to the port.
///
/// # Errors
/// As [`claude_bottle_plugin_api::Backend::connect`].
pub fn by_socket(call: &Call, request: &ConnectRequest, server: OwnedFd) -> Result<Connected> {
    let client = request.stream()?;
    let join = Join {
        up: Flow::new(End::Socket(copy(&client)?), End::Socket(copy(&server)?)),
        down: Flow::new(End::Socket(server), End::Socket(client)),
        words: None,
    };
    match join.run(call.cancel_fd().as_ref()).0 {
        Outcome::Ended | Outcome::ClientLeft => Ok(Connected::whole()),
        Outcome::Cut => Ok(Connected::cut()),
        Outcome::Cancelled => Err(Failure::cancelled()),
    }
}

/// Makes the failure of a port that takes no connection.
pub fn refused(port: u16, reason: &str) -> Failure {
    let mut failure =
        Failure::new(FailureKind::Unreachable, format!("cannot connect to port {port} in the bottle"));
    failure.causes.push(crate::printable(&short(reason)));
    failure
}

fn judge(
    call: &Call,
    port: u16,
    ended: Result<ExitStatus>,
    outcome: Outcome,
    words: &Words,
) -> Result<Connected> {
    if let Some(reason) = &words.refused {
        return Err(refused(port, reason));
    }
    // The call of the program is cancelled by its connection's end too.
    let ended = match ended {
        Err(failure) if failure.kind == FailureKind::Cancelled && !call.cancelled() => None,
        ended => Some(ended?),
    };
    match outcome {
        Outcome::Ended | Outcome::ClientLeft => Ok(Connected::whole()),
        Outcome::Cancelled => Err(Failure::cancelled()),
        Outcome::Cut if words.joined => Ok(Connected::cut()),
        Outcome::Cut => {
            let code = ended.map_or_else(String::new, |status| format!("exit code {}", status.code));
            let said = if words.other.trim().is_empty() { &code } else { &words.other };
            let message = format!("cannot connect to port {port} in the bottle: its guest program failed");
            let mut failure = Failure::new(FailureKind::Internal, message);
            failure.causes.push(crate::printable(&short(said.trim())));
            Err(failure)
        }
    }
}

fn short(text: &str) -> String {
    text.chars().take(MOST_SAID).collect()
}

fn copy(fd: &OwnedFd) -> Result<OwnedFd> {
    fd.try_clone().failure(FailureKind::Internal, || "cannot use a connection")
}

#[cfg(test)]
mod tests;
