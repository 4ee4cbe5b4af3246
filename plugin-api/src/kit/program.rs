//! Runs a program in a bottle with pipes for its streams, and collects what it wrote.

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::thread;

use crate::abi::host::Opened;
use crate::{Bottle, ErrorExt, ExecRequest, ExecRole, FailureKind, Result};

use super::bench::{Check, Session, call, ensure};

/// How a program ended and what it wrote.
pub(super) struct Ended {
    pub(super) code: i32,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
}

impl Ended {
    pub(super) fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub(super) fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

/// Runs a program, feeds it, and waits for its end and for the end of its streams.
pub(super) fn run(
    opened: &Opened,
    bottle: &Bottle,
    role: ExecRole,
    command: &[String],
    input: &[u8],
) -> Result<Ended> {
    run_request(opened, bottle, ExecRequest::new(command.to_vec(), role), input)
}

/// Runs a program as the agent that has its prompt at a path.
pub(super) fn run_as_agent(
    opened: &Opened,
    bottle: &Bottle,
    prompt_path: Option<String>,
    command: &[String],
) -> Result<Ended> {
    let mut request = ExecRequest::new(command.to_vec(), ExecRole::Agent);
    request.prompt_path = prompt_path;
    run_request(opened, bottle, request, b"")
}

fn run_request(opened: &Opened, bottle: &Bottle, mut request: ExecRequest, input: &[u8]) -> Result<Ended> {
    let pipe = || std::io::pipe().failure(FailureKind::Internal, || "cannot make a pipe");
    let ((stdin, mut feed), (mut out, stdout), (mut err, stderr)) = (pipe()?, pipe()?, pipe()?);
    request.streams = [stdin.as_raw_fd(), stdout.as_raw_fd(), stderr.as_raw_fd()];
    thread::scope(|scope| {
        let feeder = scope.spawn(move || drop(feed.write_all(input)));
        let stdout_reader = scope.spawn(move || read_all(&mut out));
        let stderr_reader = scope.spawn(move || read_all(&mut err));
        let status = opened.exec(&call(), bottle, &request);
        // The readers see the end only when every copy is closed, ours included.
        drop((stdin, stdout, stderr));
        drop(feeder.join());
        let stdout = stdout_reader.join().unwrap_or_default();
        let stderr = stderr_reader.join().unwrap_or_default();
        Ok(Ended { code: status?.code, stdout, stderr })
    })
}

fn read_all(stream: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    drop(stream.read_to_end(&mut bytes));
    bytes
}

/// Runs a script as the agent runs, and returns what it printed.
pub(super) fn printed(
    session: &Session<'_>,
    bottle: &Bottle,
    text: &str,
    arguments: &[&str],
) -> Check<String> {
    let ended = run(&session.opened, bottle, ExecRole::Command, &script(text, arguments), b"")?;
    ensure!(ended.code == 0, "`{text}` ended with {}: {}", ended.code, ended.stderr_text());
    Ok(ended.stdout_text())
}

/// Makes the command that runs a script with arguments.
pub(super) fn script(text: &str, arguments: &[&str]) -> Vec<String> {
    let fixed = ["sh", "-c", text, "sh"];
    fixed.iter().chain(arguments).map(|part| (*part).to_owned()).collect()
}
