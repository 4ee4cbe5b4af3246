//! The program: picks its subcommand by the first argument, see the library's documentation. By the name `bottle` it is the agent's command.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use bottle_guest::container::{ask, exec, init as container};
use bottle_guest::{
    GuestError, agent, connect, init, join, launcher, parent, pod, probe, relay, ssh, ssh_socket, stage,
};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let called = arguments.next().unwrap_or_default();
    let arguments: Vec<OsString> = arguments.collect();
    let is_agent = Path::new(&called).file_name().is_some_and(|name| name == agent::NAME);
    let (name, ended) = match is_agent {
        true => (agent::NAME, agent::run(&arguments)),
        false => ("bottle-guest", run(&arguments)),
    };
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            // There is nobody left to tell when this fails.
            writeln!(std::io::stderr(), "{name}: {}", error.chain()).ok();
            ExitCode::from(error.exit_code())
        }
    }
}

/// Runs the subcommand that is asked for, and returns the exit code.
fn run(arguments: &[OsString]) -> Result<u8, GuestError> {
    let (subcommand, rest) = arguments.split_first().ok_or(GuestError::ReadCommandLine)?;
    match (subcommand.to_str(), rest) {
        (Some("connect"), [proxy, host, port]) => connect::run(proxy, host, port).map(|()| 0),
        (Some("join"), [port]) => join::run(port),
        (Some("relay"), [port, guard, forward @ ..]) => relay::serve(port, guard, forward),

        (Some("probe"), []) => probe::run(),
        (Some("probe"), [what, which]) if what == "call" => Ok(probe::call(which)),
        (Some("probe"), [what, most]) if what == "memory" => Ok(probe::eat(most)),
        (Some("probe"), [what, most]) if what == "processes" => Ok(probe::fill(most)),

        (Some("outer"), [parent, groups @ ..]) => launcher::run(parent, groups).map(|()| 0),
        (Some("tied"), [parent, command @ ..]) => launcher::tied(parent, command).map(|()| 0),
        (Some("inside"), command) => parent::run(command).map(|()| 0),
        (Some("init"), []) => init::run().map(|()| 0),
        (Some("init"), [socket]) => init::handed(socket).map(|()| 0),
        (Some("stage"), [kind, command @ ..]) if kind == "job" => stage::job(command),
        (Some("stage"), [kind, command @ ..]) => stage::run(kind == "tty", command),

        (Some("ssh-socket"), [socket]) => ssh_socket::run(socket),
        (Some("install"), [target]) => pod::install::run(target),
        (Some("pod"), []) => pod::init::run(None),
        (Some("pod"), [link]) => pod::init::run(Some(link)),

        (Some("container"), []) => container::run().map(|()| 0),
        (Some("exec"), [start, command @ ..]) => exec::run(start, command),
        (Some("signal"), [token, number]) => ask::signal(token, number),
        (Some("missing"), [token]) => ask::was_missing(token),
        (Some("reach"), [address]) => ask::reach(address),
        (Some("remove"), paths) => ask::remove(paths),
        (Some("process-limit-hits"), []) => ask::process_limit_hits(),
        (Some("ssh-agent"), [agent, public]) => ssh::run(agent, public),
        (Some("bridge"), [agent]) => ssh::bridge(agent),
        _ => Err(GuestError::ReadCommandLine),
    }
}
