//! What the guard sees of HTTPS and keeps of it, how much may go up, and what a manifest says that cannot be kept with what it does
//! not see.

use claude_bottle_egress_policy::{HostPattern, Intercept, Rule, UploadLimit};

use super::egress::{host_pattern, one_of};
use super::{Checker, Fields, Lines, files, limits};
use crate::egress::roots;
use crate::manifest::model::{AuthorityFile, Egress, Interception, ProxyKind};
use crate::manifest::node::{Key, Node};
use crate::manifest::problem::ProblemKind;

/// The port on which nothing but TLS goes.
const HTTPS_PORT: u16 = 443;

/// Reads these keys, which are the guard's alone.
pub(super) fn check(checker: &mut Checker<'_>, fields: &Fields<'_>, egress: &mut Egress) {
    if let Some(node) = fields.get("intercept")
        && let Some(mode) = one_of(checker, node, "`intercept`", &Intercept::ALL)
    {
        egress.intercept = Interception { mode, origin: Some(checker.source.origin(node.span)) };
        if mode != Intercept::None {
            check_proxy(checker, egress, "intercept", node);
        }
    }
    if egress.proxy == Some(ProxyKind::Pipelock) {
        egress.intercept.relax();
    }
    if let Some(node) = fields.get("passthrough") {
        let nodes = checker.list(node, "`passthrough`").unwrap_or_default();
        egress.passthrough = nodes.iter().filter_map(|node| host_pattern(checker, node)).collect();
        check_proxy(checker, egress, "passthrough", node);
    }
    if let Some(node) = fields.get("authorities") {
        let nodes = checker.list(node, "`authorities`").unwrap_or_default();
        egress.authorities = nodes.iter().filter_map(|node| authorities(checker, node)).collect();
        check_proxy(checker, egress, "authorities", node);
    }
    if let Some(node) = fields.get("capture") {
        egress.capture = checker.truth(node, "`capture`").unwrap_or(false);
        check_proxy(checker, egress, "capture", node);
    }
    if let Some(node) = fields.get("upload_limit") {
        let entries = checker.mapping(node, "`upload_limit`").unwrap_or_default();
        egress.upload_limits =
            entries.iter().filter_map(|(key, node)| upload_limit(checker, key, node)).collect();
        check_proxy(checker, egress, "upload_limit", node);
    }
}

/// Refuses what another proxy than the guard would ignore.
fn check_proxy(checker: &mut Checker<'_>, egress: &Egress, key: &str, node: &Node) {
    if egress.proxy == Some(ProxyKind::Pipelock) {
        let message = format!("`{key}` is for the guard, and this bottle's proxy is pipelock");
        let note = "set `proxy: guard`, or leave it out";
        checker.report_with(ProblemKind::Conflict, node.span, message, note);
    }
}

/// Returns a file of authorities that was read.
fn authorities(checker: &mut Checker<'_>, node: &Node) -> Option<AuthorityFile> {
    let text = checker.text(node, "an entry of `authorities`", Lines::One)?;
    let path = files::expand(checker, node, text)?;
    match roots::read(&path) {
        Ok(_) => Some(AuthorityFile { path, origin: checker.source.origin(node.span) }),
        Err(error) => {
            files::missing(checker, node, "`authorities`:", text, &error);
            None
        }
    }
}

/// Returns how much may go up to hosts.
fn upload_limit(checker: &mut Checker<'_>, key: &Key, node: &Node) -> Option<UploadLimit> {
    let hosts = match key.text.parse() {
        Ok(hosts) => hosts,
        Err(error) => {
            let message = format!("`{}` is not a host, a `*.domain` or `*`: {error}", key.text);
            checker.report(ProblemKind::BadHost, key.span, message);
            return None;
        }
    };
    let text = checker.text(node, "an upload limit", Lines::One)?;
    let Some(bytes) = limits::bytes(text) else {
        let message = format!(
            "`{text}` is not a size: write a whole number and its unit, such as `512k`, `4m` or `1GiB`"
        );
        checker.report(ProblemKind::BadValue, node.span, message);
        return None;
    };
    Some(UploadLimit { hosts, bytes })
}

/// Refuses rules about requests that the guard does not see.
pub(super) fn check_rules(checker: &mut Checker<'_>, egress: &Egress, rules: &[(Rule, &Node)]) {
    for (rule, node) in rules.iter().filter(|(rule, _)| rule.is_about_tls(|port| port == HTTPS_PORT)) {
        if let Some((reason, note)) = unseen(egress, rule.pattern()) {
            let message = format!("rule `{rule}` is about requests inside HTTPS, and {reason}");
            checker.report_with(ProblemKind::Conflict, node.span, message, note);
        }
    }
}

/// Returns why the guard does not see what is sent to these hosts over HTTPS, and what to do about it.
fn unseen(egress: &Egress, hosts: &HostPattern) -> Option<(String, &'static str)> {
    if egress.proxy == Some(ProxyKind::Pipelock) {
        let note = "set `proxy: guard`, or name the host alone";
        return Some(("pipelock does not look into it for a rule".to_owned(), note));
    }
    if egress.intercept.mode == Intercept::None {
        let note = "set `intercept: needed`, or name the host alone";
        return Some(("`intercept: none` leaves it closed to the guard".to_owned(), note));
    }
    let passed = egress.passthrough.iter().find(|other| other.overlaps(hosts))?;
    let reason = format!("`passthrough` has `{passed}`");
    Some((reason, "take the host out of `passthrough`, or name it alone in the rule"))
}
