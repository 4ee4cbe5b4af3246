//! SSH hosts. What is accepted here is written into an SSH configuration later, so nothing may end a line or a word.

use std::net::Ipv6Addr;

use claude_bottle_egress_policy::HostOrIp;

use super::{Checker, Fields, Lines, files};
use crate::manifest::keys::KEYS;
use crate::manifest::model::SshHost;
use crate::manifest::node::{Node, Value};
use crate::manifest::problem::{Problem, ProblemKind};

/// User when none is given: what git hosting services use.
const DEFAULT_USER: &str = "git";
/// Port when none is given: <https://www.iana.org/assignments/service-names-port-numbers> for ssh.
const DEFAULT_PORT: u16 = 22;

/// Types of host keys: <https://man.openbsd.org/ssh-keygen.1>, less the abandoned DSA.
const KEY_TYPES: &[&str] = &[
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

pub(super) fn check(checker: &mut Checker<'_>, node: &Node) -> Vec<SshHost> {
    let mut hosts: Vec<SshHost> = Vec::new();
    for node in checker.list(node, "`ssh`").unwrap_or_default() {
        let Some(host) = entry(checker, node) else { continue };
        if let Some(first) = hosts.iter().find(|known| known.host.eq_ignore_ascii_case(&host.host)) {
            let message = format!("the SSH host `{}` is given twice", host.host);
            let note = format!("it was given first in line {}", first.origin.line());
            checker.report_with(ProblemKind::DuplicateKey, node.span, message, note);
            continue;
        }
        hosts.push(host);
    }
    hosts
}

fn entry(checker: &mut Checker<'_>, node: &Node) -> Option<SshHost> {
    let fields = checker.fields(node, "an SSH host", &KEYS.ssh)?;
    let host = required_word(checker, &fields, "Host", node);
    let hostname = checker
        .required(&fields, "Hostname", "this SSH host", node.span)
        .and_then(|node| hostname(checker, node));
    let identity_file =
        checker.required(&fields, "IdentityFile", "this SSH host", node.span).and_then(|node| {
            let text = checker.text(node, "`IdentityFile`", Lines::One)?;
            files::identity(checker, node, text)
        });
    let user = match fields.get("User") {
        Some(node) => word(checker, node, "User"),
        None => Some(DEFAULT_USER.to_owned()),
    };
    let port = match fields.get("Port") {
        Some(node) => port(checker, node),
        None => Some(DEFAULT_PORT),
    };
    let known_host_key = match fields.get("KnownHostKey") {
        Some(node) => Some(known_host_key(checker, node)?),
        None => None,
    };
    Some(SshHost {
        host: host?,
        identity_file: identity_file?,
        hostname: hostname?,
        user: user?,
        port: port?,
        known_host_key,
        origin: checker.source.origin(node.span),
    })
}

fn required_word(checker: &mut Checker<'_>, fields: &Fields<'_>, name: &str, node: &Node) -> Option<String> {
    let node = checker.required(fields, name, "this SSH host", node.span)?;
    word(checker, node, name)
}

/// Returns a name that is one word of an SSH configuration, no pattern, no option and no token such as `%h`.
fn word(checker: &mut Checker<'_>, node: &Node, key: &str) -> Option<String> {
    let text = checker.text(node, &format!("`{key}`"), Lines::One)?;
    let accepted = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !text.chars().all(accepted) || text.starts_with(['-', '.']) {
        let message = format!("`{text}` cannot be a {key}: it has letters, digits, `.`, `_` and `-`");
        checker.report(ProblemKind::BadValue, node.span, message);
        return None;
    }
    Some(text.to_owned())
}

fn hostname(checker: &mut Checker<'_>, node: &Node) -> Option<HostOrIp> {
    let text = checker.text(node, "`Hostname`", Lines::One)?;
    // An SSH configuration has IPv6 addresses without brackets; a rule needs them.
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Some(HostOrIp::Ip(address.into()));
    }
    match HostOrIp::parse(text) {
        Ok(host) => Some(host),
        Err(error) => {
            let problem = Problem::at(
                ProblemKind::BadHost,
                checker.source,
                node.span,
                format!("Hostname `{text}`: {error}"),
            );
            checker.problems.push(if text.contains(':') {
                problem.note("the port has a key of its own: `Port`")
            } else {
                problem
            });
            None
        }
    }
}

fn port(checker: &mut Checker<'_>, node: &Node) -> Option<u16> {
    let Value::Number(text) = &node.value else {
        checker.wrong_type(node, "`Port`", "a number", None);
        return None;
    };
    match text.parse::<u16>() {
        Ok(port) if port > 0 => Some(port),
        _ => {
            let message = format!("`{text}` is not a valid port: use a whole number from 1 to 65535");
            checker.report(ProblemKind::BadPort, node.span, message);
            None
        }
    }
}

/// Returns `type base64`, without the comment that a `.pub` file has behind it.
fn known_host_key(checker: &mut Checker<'_>, node: &Node) -> Option<String> {
    let text = checker.text(node, "`KnownHostKey`", Lines::One)?;
    let mut words = text.split_whitespace();
    let (kind, key) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    if KEY_TYPES.contains(&kind) && key.starts_with("AAAA") && key.chars().all(is_base64) {
        return Some(format!("{kind} {key}"));
    }
    let problem =
        Problem::at(ProblemKind::BadValue, checker.source, node.span, "this is not a valid public host key")
            .note("a key is its type and its base64 text: `ssh-ed25519 AAAA…`")
            .hint("run `ssh-keyscan HOST` and compare its answer with what the host's owner published");
    checker.problems.push(problem);
    None
}
