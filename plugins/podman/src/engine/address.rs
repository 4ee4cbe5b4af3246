//! Where Podman answers: a socket that is there or, where none is, that of a service which is started when it is asked for.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;

use super::service::Service;
use crate::error::PodmanError;

/// The variable in which Podman's own clients have an address.
const VARIABLE: &str = "CONTAINER_HOST";

/// The socket of the machine's service, and that of a user's below the user's runtime directory:
/// <https://docs.podman.io/en/latest/markdown/podman-system-service.1.html>.
const MACHINE: &str = "/run/podman/podman.sock";
const USER: &str = "podman/podman.sock";

/// Where Podman is reached.
#[derive(Debug)]
pub(crate) enum Address {
    /// A socket of a service that is not started here.
    Socket(PathBuf),
    /// A service that is started on demand.
    Service(Service),
}

impl Address {
    /// Finds the address, from an environment that a test can make up. Only a socket that was named need not answer.
    pub(crate) fn find(environment: &dyn Fn(&str) -> Option<String>) -> Result<Self, PodmanError> {
        if let Some(address) = environment(VARIABLE).filter(|address| !address.is_empty()) {
            return parse(&address).map(Self::Socket);
        }
        let found = usual(environment).into_iter().find(|socket| UnixStream::connect(socket).is_ok());
        Ok(found.map_or_else(|| Self::Service(Service::new(environment)), Self::Socket))
    }

    /// Connects, and refuses a service of another user's: the files of a bottle belong to this one.
    pub(crate) fn connect(&self) -> Result<UnixStream, PodmanError> {
        let (stream, socket) = match self {
            Self::Service(service) => (service.connect()?, service.socket()),
            Self::Socket(socket) => (
                UnixStream::connect(socket)
                    .map_err(|source| PodmanError::Reach { socket: socket.clone(), source })?,
                socket.clone(),
            ),
        };
        let peer = socket_peercred(&stream).map_err(io::Error::from);
        let peer = peer.map_err(|source| PodmanError::Reach { socket: socket.clone(), source })?;
        if peer.uid != geteuid() {
            return Err(PodmanError::OtherUser { socket, uid: peer.uid.as_raw() });
        }
        Ok(stream)
    }
}

/// Lists where a service of this user's would listen.
fn usual(environment: &dyn Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    let own =
        environment("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty()).map(|dir| Path::new(&dir).join(USER));
    let machine = geteuid().is_root().then(|| MACHINE.into());
    machine.or(own).into_iter().collect()
}

/// Reads an address as Podman's clients take it.
fn parse(address: &str) -> Result<PathBuf, PodmanError> {
    let socket = address.strip_prefix("unix://").map(PathBuf::from).filter(|socket| socket.is_absolute());
    socket.ok_or_else(|| PodmanError::ReadAddress { address: address.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn named(address: &str) -> Result<Address, PodmanError> {
        Address::find(&|name| (name == VARIABLE).then(|| address.to_owned()))
    }

    #[test]
    fn only_a_socket_of_this_machine_is_an_address() {
        for address in ["ssh://me@there/run/x.sock", "tcp://here:1", "unix://x.sock", "/run/x.sock"] {
            let refused = named(address).unwrap_err().to_string();
            assert!(refused.contains(address), "{refused}");
        }
    }

    #[test]
    fn what_is_named_and_does_not_answer_is_an_error_and_nothing_else_is_tried() {
        let error = named("unix:///nowhere/podman.sock").unwrap().connect().unwrap_err();
        assert!(matches!(error, PodmanError::Reach { .. }), "{error}");
    }

    #[test]
    fn a_socket_of_this_users_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("podman.sock");
        let _listener = UnixListener::bind(&socket).unwrap();
        named(&format!("unix://{}", socket.display())).unwrap().connect().unwrap();
    }
}
