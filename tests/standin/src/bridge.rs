//! Where servers of tests are reached from containers: the bridge of a network of the tests' own.
//!
//! The default bridge does not do: `docker0` is one name for all engines of a machine, and may be another engine's by now.

use std::io;
use std::net::{IpAddr, TcpListener};
use std::process::{Command, Output};

use crate::StandinError;

/// The network on whose bridge tests serve. It is made once and stays, as the images do.
pub const TEST_NETWORK: &str = "claude-bottle-tests";

/// Returns an address of this machine that containers of the engine reach, where tests may serve.
///
/// # Errors
/// Fails without an engine, and with one whose networks are not on this machine.
pub fn bridge_address() -> Result<IpAddr, StandinError> {
    bridge_address_at(None)
}

/// Returns it for the engine at an address, as in `DOCKER_HOST`; `None` is the machine's.
///
/// # Errors
/// Fails without an engine, and with one whose networks are not where this thread is.
pub fn bridge_address_at(engine: Option<&str>) -> Result<IpAddr, StandinError> {
    let inspect = || inspect(engine);
    let gateway = match inspect() {
        Ok(gateway) => gateway,
        Err(_) => {
            let made = docker(engine, &["network", "create", TEST_NETWORK]);
            // Another test binary may have made it meanwhile.
            inspect().map_err(|source| made.err().map_or(source, |error| error)).map_err(unreachable)?
        }
    };
    let address = gateway.parse().map_err(|error| unreachable(io::Error::other(error)))?;
    let served = TcpListener::bind((address, 0));
    served.map_err(|source| StandinError::Bind { address: (address, 0).into(), source })?;
    Ok(address)
}

fn unreachable(source: io::Error) -> StandinError {
    StandinError::FindBridge { network: TEST_NETWORK, source }
}

fn inspect(engine: Option<&str>) -> io::Result<String> {
    docker(engine, &["network", "inspect", TEST_NETWORK, "--format", "{{(index .IPAM.Config 0).Gateway}}"])
}

/// Runs the engine's client and returns what it says, without the end of the line.
fn docker(engine: Option<&str>, words: &[&str]) -> io::Result<String> {
    let mut command = Command::new("docker");
    command.args(words).envs(engine.map(|engine| ("DOCKER_HOST", engine)));
    let Output { status, stdout, stderr } = command.output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if status.success() { Ok(text(&stdout)) } else { Err(io::Error::other(text(&stderr))) }
}
