//! Ways out of the bottle: past its proxy, and by it.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use super::{Finding, Request};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(3);
/// How much of an answer is read.
const MOST_BYTES: u64 = 4096;

/// Nothing is reached but by the proxy: not the host, not the gateway, not the world.
pub(super) fn direct(request: &Request) -> Finding {
    let mut finding = Finding::new("direct");
    let mut targets: Vec<SocketAddr> =
        request.addresses.iter().chain(&gateways()).map(|address| (*address, request.port).into()).collect();
    // Of a public resolver, and of the services of clouds that give away credentials.
    targets.extend([SocketAddr::from(([1, 1, 1, 1], 443)), SocketAddr::from(([169, 254, 169, 254], 80))]);
    let found = std::thread::scope(|scope| {
        let tries: Vec<_> = targets
            .iter()
            .map(|target| scope.spawn(move || TcpStream::connect_timeout(target, PATIENCE)))
            .collect();
        tries.into_iter().map(|thread| thread.join().is_ok_and(|tried| tried.is_ok())).collect::<Vec<_>>()
    });
    for (target, is_reached) in targets.iter().zip(found) {
        finding.note(is_reached.then(|| format!("{target} was reached by TCP")));
    }
    for target in &targets {
        // Whether it arrives is for the host to say.
        finding.note(None);
        drop(send(*target, request.token.as_bytes()));
    }
    finding
}

fn send(target: SocketAddr, text: &[u8]) -> std::io::Result<usize> {
    let any: SocketAddr = if target.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        "[::]:0".parse().map_err(std::io::Error::other)?
    };
    UdpSocket::bind(any)?.send_to(text, target)
}

/// Returns the gateways of the bottle's routes: <https://man7.org/linux/man-pages/man5/proc_pid_net.5.html>.
fn gateways() -> Vec<IpAddr> {
    let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    let gateway = |line: &str| {
        let number = u32::from_str_radix(line.split_whitespace().nth(2)?, 16).ok()?;
        (number != 0).then(|| Ipv4Addr::from(number.to_le_bytes()).into())
    };
    routes.lines().skip(1).filter_map(gateway).collect()
}

/// The proxy refuses a name and an address that no rule allows, in both of its forms.
pub(super) fn proxy(request: &Request) -> Finding {
    let Some(proxy) = address() else {
        return Finding::untried("proxy", "no variable names a proxy");
    };
    let mut finding = Finding::new("proxy");
    let addresses =
        request.addresses.iter().map(|address| SocketAddr::new(*address, request.port).to_string());
    let mut targets = vec![request.name.clone()];
    targets.extend(addresses);
    for target in targets {
        let with_port = if target.contains(':') { target.clone() } else { format!("{target}:443") };
        for head in [
            format!("GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n"),
            format!("CONNECT {with_port} HTTP/1.1\r\nHost: {with_port}\r\n\r\n"),
        ] {
            let method = head.split(' ').next().unwrap_or_default();
            finding.note(match ask(&proxy, &head) {
                Ok(answer) if is_refusal(&answer) => None,
                Ok(answer) => {
                    let line = answer.lines().next().unwrap_or_default();
                    Some(format!("the proxy answered {method} {target} with `{}`", line.escape_debug()))
                }
                Err(error) => Some(format!("the proxy did not answer {method} {target}: {error}")),
            });
        }
    }
    finding
}

/// Returns `true` if an answer is a refusal by the policy, and not a failure on the way.
fn is_refusal(answer: &str) -> bool {
    answer.split(' ').nth(1) == Some("403")
}

/// Returns host and port of the proxy.
fn address() -> Option<String> {
    let url = ["http_proxy", "HTTP_PROXY"].into_iter().find_map(|name| std::env::var(name).ok())?;
    let rest = url.strip_prefix("http://")?;
    Some(rest.split('/').next()?.rsplit('@').next()?.to_owned())
}

fn ask(proxy: &str, head: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(proxy)?;
    stream.set_read_timeout(Some(4 * PATIENCE))?;
    stream.write_all(head.as_bytes())?;
    let mut answer = Vec::new();
    let mut reader = stream.take(MOST_BYTES);
    let mut piece = [0; 512];
    // A tunnel that was opened has no end of its own.
    while !answer.windows(2).any(|pair| pair == b"\r\n") {
        match reader.read(&mut piece)? {
            0 => break,
            length => answer.extend(&piece[..length]),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
