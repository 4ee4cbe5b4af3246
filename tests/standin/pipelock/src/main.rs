//! A stand-in for pipelock 2.3.0, where its image cannot be had: command line, configuration file, list of secrets, port, health
//! check, refusals and log lines are as <https://github.com/luckyPipewrench/pipelock/tree/v2.3.0> has them.
//!
//! It is not a wall: it compares host names with the allowlist, and looks for the secrets it was told as they are. What it
//! shows is that the backend runs a program of this interface, not that pipelock works.

mod config;
mod inspect;
mod log;
mod serve;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;

use config::Config;

/// Where it listens unless told otherwise, and what `healthcheck` asks.
const DEFAULT_ADDRESS: &str = "127.0.0.1:8888";
/// pipelock's exit code for a wrong configuration.
const BAD_CONFIG: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["run", options @ ..] => run(options),
        ["check", "--config" | "-c", path] => match Config::read(path) {
            Ok(_) => ExitCode::SUCCESS,
            Err(error) => fail(&error, BAD_CONFIG),
        },
        ["healthcheck"] => health(DEFAULT_ADDRESS),
        ["healthcheck", "--addr", address] => health(address),
        [word, ..] => fail(&format!("unknown command \"{word}\" for \"pipelock\""), 1),
        [] => fail("no command", 1),
    }
}

fn fail(message: &str, code: u8) -> ExitCode {
    writeln!(std::io::stderr(), "Error: {message}").ok();
    ExitCode::from(code)
}

fn run(options: &[&str]) -> ExitCode {
    let (mut listen, mut path) = (DEFAULT_ADDRESS, None);
    for pair in options.chunks(2) {
        match pair {
            ["--listen" | "-l", address] => listen = address,
            ["--config" | "-c", file] => path = Some(*file),
            _ => return fail("unknown flag", 1),
        }
    }
    let config = match Config::read(path.unwrap_or_default()) {
        Ok(config) => config,
        Err(error) => return fail(&error, BAD_CONFIG),
    };
    let secrets = match config.secrets() {
        Ok(secrets) => secrets,
        Err(error) => return fail(&error, BAD_CONFIG),
    };
    if let Err(error) = stop_on_signals() {
        return fail(&error.to_string(), 1);
    }
    match serve::serve(listen, serve::Rules { config, secrets }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string(), 1),
    }
}

/// Ends the process on SIGTERM and SIGINT, as the first process of a container has to do itself.
fn stop_on_signals() -> std::io::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT])?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            log::event("info", "shutdown", &[("reason", "signal".into())]);
            signal_hook::low_level::exit(0);
        }
    });
    Ok(())
}

/// Asks `/health`, as the image's health check does.
fn health(address: &str) -> ExitCode {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: health\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    match ask() {
        Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => ExitCode::SUCCESS,
        _ => fail("health check failed", 1),
    }
}
