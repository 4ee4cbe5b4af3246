//! `health`: tells whether a guard serves.
//!
//! The guard has no endpoint to ask. A live one closes a connection on which the client says nothing and leaves, and
//! it does so from its event loop; a hung one accepts in the kernel only and stays silent.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use claude_bottle_egress_policy::Listen;

use crate::error::GuardError;

/// Shorter than the usual time-out of a container's health check.
const LIMIT: Duration = Duration::from_secs(2);

/// Tell by exit code whether a guard serves
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where it listens: `address:port` or `unix:/path`
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8888")]
    addr: Listen,
}

pub(super) fn run(args: &Args) -> Result<ExitCode, GuardError> {
    probe(&args.addr).map_err(|source| GuardError::Unhealthy { place: args.addr.clone(), source })?;
    Ok(ExitCode::SUCCESS)
}

fn probe(place: &Listen) -> io::Result<()> {
    match place {
        Listen::Tcp(address) => {
            let stream = TcpStream::connect_timeout(address, LIMIT)?;
            stream.set_read_timeout(Some(LIMIT))?;
            stream.shutdown(Shutdown::Write)?;
            until_end(stream)
        }
        Listen::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(LIMIT))?;
            stream.shutdown(Shutdown::Write)?;
            until_end(stream)
        }
    }
}

/// An answer such as "too many connections" is a sign of life as well.
fn until_end(mut stream: impl Read + Write) -> io::Result<()> {
    stream.read(&mut [0]).map(|_| ())
}
