//! A look into HTTPS from inside a live bottle: which clients trust it, and what rules about requests stop.

pub(crate) mod above;
mod every;
mod kept;
mod modes;
mod publish;
mod renewed;
mod requests;
mod secrets;
mod trust;
mod trust_clients;

use std::net::SocketAddr;
use std::path::Path;

use claude_bottle_standin::{Config, Script, Standin, Tls};

/// Starts a stand-in that serves these names over HTTPS, on the loopback of this machine, and writes its authority to a file.
pub(crate) fn secure_standin(names: &[&str], ca_file: &Path, script: Script) -> Standin {
    let names = names.iter().map(|&name| name.to_owned()).collect();
    let config = Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        tls: Some(Tls { names, ca_file: ca_file.to_owned() }),
        script,
        ..Config::default()
    };
    Standin::start(config).expect("start the stand-in API")
}
