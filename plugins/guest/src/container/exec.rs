//! What leads a program in a container: it sets its terminal's size, tells process 1 of itself, and gets the bottle's variables
//! for it.
//!
//! An engine before API 1.42 takes no size when an exec is made, and the resize that follows its start may come after the
//! program has looked.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::Command;

use rustix::process::{getpid, setsid};
use rustix::termios::{Winsize, tcsetwinsize};
use serde::{Deserialize, Serialize};

use super::ask::{hear, say};
use super::words::{Answer, Ask};
use crate::error::StepExt;
use crate::{GuestError, lead, search, terminal};

/// The exit code of a program that is not there, as a shell has it.
const NOT_FOUND: u8 = 127;

/// How a program is started. It is on an argument list, so it holds no secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// A word that no other execution in this bottle has.
    pub token: String,
    /// Whether it runs at a terminal.
    #[serde(default)]
    pub has_terminal: bool,
    /// The terminal's columns and rows, where they are known.
    #[serde(default)]
    pub size: Option<(u16, u16)>,
    /// Variables of an image that does not set them.
    #[serde(default)]
    pub defaults: Vec<(String, String)>,
    /// What is said when the program is not there; without it process 1 is told, which can be asked later.
    #[serde(default)]
    pub missing: Option<String>,
}

/// Returns what the terminal or, without one, standard error says when the program has stopped: a string that no terminal shows.
/// The program could write it itself, and would be suspended.
/// <https://invisible-island.net/xterm/ctlseqs/ctlseqs.html>, APC
pub fn stop_marker(token: &str) -> Vec<u8> {
    format!("\x1b_exec.{token}\x1b\\").into_bytes()
}

/// Leads the session that the program runs in, and returns its exit code.
///
/// # Errors
/// Fails when the program cannot be started.
pub fn run(start: &OsStr, command: &[OsString]) -> Result<u8, GuestError> {
    let start: Start = serde_json::from_slice(start.as_bytes())
        .map_err(std::io::Error::from)
        .step(|| "read how to start a program")?;
    let (program, arguments) = command.split_first().ok_or(GuestError::ReadCommandLine)?;
    let program = lead::named(program);
    // An engine's runtime has made a session already, or this process could not be signalled with what it starts.
    setsid().ok();
    if let Some((ws_col, ws_row)) = start.size {
        // The engine sets it again.
        tcsetwinsize(rustix::stdio::stdin(), Winsize { ws_col, ws_row, ws_xpixel: 0, ws_ypixel: 0 }).ok();
    }
    let variables = variables(&start)?;
    if !lead::is_there(program, variables.get(OsStr::new("PATH")), Path::new(".")) {
        return miss(&start);
    }
    if start.has_terminal {
        let mut job = lead::job(command);
        job.env_clear().envs(&variables);
        drop(variables);
        return lead::at_terminal(&mut job, || wait_to_go_on(&start.token));
    }
    let mut job = Command::new(program);
    job.args(arguments).env_clear().envs(&variables);
    drop(variables);
    lead::on_streams(&mut job, || wait_to_go_on(&start.token))
}

/// Tells process 1 of this process, and returns all variables of the program. Those of the bottle win.
fn variables(start: &Start) -> Result<BTreeMap<OsString, OsString>, GuestError> {
    let enter = Ask::Enter { token: start.token.clone(), pid: getpid().as_raw_nonzero().get() };
    let mut answer = hear(&say(&enter)?)?;
    let Answer::Variables(of_the_bottle) = &mut answer else {
        let refused = std::io::Error::other("it does not know this process");
        return Err(refused).step(|| "ask process 1 of the bottle");
    };
    let mut all: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
    for (name, value) in &start.defaults {
        let own = all.entry(name.into()).or_default();
        if own.is_empty() {
            *own = value.into();
        }
    }
    if start.has_terminal {
        let name = all.get(OsStr::new("TERM")).and_then(|name| name.to_str()).unwrap_or_default();
        let known = terminal::known(name, Path::new("/")).to_owned();
        all.insert("TERM".into(), known.into());
    }
    all.extend(
        of_the_bottle
            .iter_mut()
            .map(|(name, value)| (std::mem::take(name).into(), OsString::from_vec(std::mem::take(value)))),
    );
    if let Some(path) = all.get_mut(OsStr::new("PATH")) {
        *path = search::with_command(std::mem::take(path));
    }
    Ok(all)
}

fn miss(start: &Start) -> Result<u8, GuestError> {
    match &start.missing {
        // Its exit code says it too.
        Some(text) => drop(writeln!(std::io::stderr(), "{text}")),
        None => drop(hear(&say(&Ask::Miss { token: start.token.clone() })?)?),
    }
    Ok(NOT_FOUND)
}

/// Tells the backend that the program has stopped, and waits until it is to go on.
fn wait_to_go_on(token: &str) -> Result<(), GuestError> {
    let connection = say(&Ask::Stop { token: token.to_owned() })?;
    if !matches!(hear(&connection)?, Answer::Yes) {
        return Ok(());
    }
    std::io::stderr().write_all(&stop_marker(token)).step(|| "tell of the stop")?;
    hear(&connection).map(drop)
}
