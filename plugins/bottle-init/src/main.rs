//! The program: picks its face by the first argument, see the library's documentation.

#![forbid(unsafe_code)]

use std::error::Error;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use bottle_init::{InitError, connect, init, outer, stage};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut text = format!("bottle-init: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                text.push_str(&format!(": {cause}"));
                source = cause.source();
            }
            // There is nobody left to tell when this fails.
            writeln!(std::io::stderr(), "{text}").ok();
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(arguments: &[OsString]) -> Result<(), InitError> {
    let (face, rest) = arguments.split_first().ok_or(InitError::ReadCommandLine)?;
    match (face.to_str(), rest) {
        (Some("outer"), [parent, groups @ ..]) => outer::run(parent, groups),
        (Some("init"), []) => init::run(),
        (Some("stage"), [terminal, command @ ..]) => stage::run(terminal == "tty", command),
        (Some("connect"), [proxy, host, port]) => connect::run(proxy, host, port),
        _ => Err(InitError::ReadCommandLine),
    }
}
