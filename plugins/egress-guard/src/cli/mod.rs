//! The command line: one verb a file.

mod check;
mod health;
mod knock;
mod pod;
mod reload;
mod run;
mod source;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::GuardError;

/// Run or examine the egress proxy of a bottle
#[derive(Debug, Parser)]
#[command(name = "egress-guard", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Args),
    Check(check::Args),
    Health(health::Args),
    Pod(pod::Args),
    Knock(knock::Args),
}

/// Runs the verb of the command line. Exit code 0 is success, 1 a refusal or failure, 2 wrong usage.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            error.print().ok();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let done = match cli.verb {
        Verb::Run(args) => run::run(&args),
        Verb::Check(args) => check::run(&args),
        Verb::Health(args) => health::run(&args),
        Verb::Pod(args) => pod::run(&args),
        Verb::Knock(args) => knock::run(&args),
    };
    done.unwrap_or_else(|error| {
        say_error(&error);
        ExitCode::FAILURE
    })
}

fn say_error(error: &GuardError) {
    let mut text = format!("error: {error}\n");
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text.push_str(&format!("  caused by: {next}\n"));
        cause = next.source();
    }
    std::io::stderr().lock().write_all(text.as_bytes()).ok();
}

/// Returns an error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}

/// Writes a line to standard output; a closed pipe is no fault.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).ok();
}
