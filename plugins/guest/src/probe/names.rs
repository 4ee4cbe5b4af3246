//! Names: the bottle's servers are its own, and have no address for a name that no rule allows.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use super::{Finding, Request};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// The length of a message's head: <https://www.rfc-editor.org/rfc/rfc1035#section-4.1.1>.
const HEAD: usize = 12;

/// No server of the system's list is outside, and none knows the name.
pub(super) fn names(request: &Request) -> Finding {
    let mut finding = Finding::new("names");
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let servers: Vec<IpAddr> =
        text.lines().filter_map(|line| line.strip_prefix("nameserver")?.trim().parse().ok()).collect();
    for server in &servers {
        let is_own = server.is_loopback() || server.is_unspecified();
        finding.note((!is_own).then(|| format!("/etc/resolv.conf names the server {server}")));
        let answers = ask((*server, 53).into(), &request.name).unwrap_or_default();
        finding.note(
            (answers > 0).then(|| format!("the server {server} has an address for `{}`", request.name)),
        );
    }
    if servers.is_empty() {
        finding.note(None);
    }
    finding
}

/// Returns how many answers a server has to a question.
fn ask(server: SocketAddr, name: &str) -> std::io::Result<u16> {
    let socket = UdpSocket::bind(if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(server)?;
    socket.send(&question(name))?;
    let mut answer = [0; 1500];
    let length = socket.recv(&mut answer)?;
    Ok(if length < HEAD { 0 } else { u16::from_be_bytes([answer[6], answer[7]]) })
}

/// Asks for the address of a name, and for recursion.
fn question(name: &str) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap_or_default());
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}
