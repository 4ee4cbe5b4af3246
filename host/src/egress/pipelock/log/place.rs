//! Where a request was for: a host and a port, and of a URL nothing else.

use claude_bottle_egress_policy::HostOrIp;

use super::Line;
use super::outcome::found_in_address;

/// How much of a host that has no canonical form is kept, as the guard does.
const HOST_KEPT: usize = 128;

/// Returns host and port of a line; the port is 0 when the line does not say it.
pub(super) fn of(line: &Line) -> (String, u16) {
    let (host, port) = match (line.url.as_str(), line.target.as_str()) {
        ("", "") => host_and_port(&line.connect_host, 0),
        ("", target) => host_and_port(target, 0),
        (url, _) => host_and_port(url, 0),
    };
    if found_in_address(line) { (masked(host), port) } else { (host, port) }
}

/// Returns host and port of a URL or an authority, which has no usual port but this.
pub(super) fn host_and_port(text: &str, usual: u16) -> (String, u16) {
    let (authority, usual) = match text.split_once("://") {
        Some((scheme, rest)) => (rest, if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 }),
        None => (text, usual),
    };
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (host, port) = match authority.rsplit_once(':') {
        // Not the colon inside an IPv6 address.
        Some((host, port)) if !port.contains(']') && !host.is_empty() => match port.parse() {
            Ok(port) => (host, port),
            Err(_) => (authority, 0),
        },
        _ => (authority, usual),
    };
    let host =
        HostOrIp::parse(host).map_or_else(|_| host.chars().take(HOST_KEPT).collect(), |h| h.to_string());
    (host, port)
}

/// Hides the names below the last two, which are all that a rule of the allowlist must spell out.
fn masked(host: String) -> String {
    if HostOrIp::parse(&host).is_ok_and(|host| host.name().is_none()) {
        return host;
    }
    let mut labels = host.rsplitn(3, '.');
    match (labels.next(), labels.next(), labels.next()) {
        (Some(top), Some(second), Some(_)) => format!("*.{second}.{top}"),
        _ => host,
    }
}
