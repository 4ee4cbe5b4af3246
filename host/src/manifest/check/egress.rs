//! What a bottle may reach. What a rule is, `claude-bottle-egress-policy` decides; here it gets its place.

use std::net::IpAddr;

use claude_bottle_egress_policy::{
    DlpAction, DlpConfig, DlpKind, Host, HostError, HostOrIp, HostPattern, PrivateGrant, Rule, RuleError,
};
use ipnet::IpNet;

use super::{Checker, Lines, intercept, presets};
use crate::manifest::keys::KEYS;
use crate::manifest::model::{
    BottleName, Egress, Origin, PrivateRange, ProxyKind, StaticHost, Upstream, UpstreamSource, VariableName,
};
use crate::manifest::node::{Key, Node, Value};
use crate::manifest::problem::{Problem, ProblemKind};
use crate::manifest::suggest::nearest;

pub(super) fn check(checker: &mut Checker<'_>, bottle: &BottleName, node: &Node) -> Egress {
    let mut egress = Egress::default();
    let Some(fields) = checker.fields(node, "`egress`", &KEYS.egress) else { return egress };
    let mut rules = Vec::new();
    if let Some(node) = fields.get("allowlist") {
        let nodes = checker.list(node, "`allowlist`").unwrap_or_default();
        rules.extend(nodes.iter().filter_map(|node| Some((rule(checker, bottle, node)?, node))));
        egress.rules.extend(rules.iter().map(|(rule, _)| rule.clone()));
    }
    if let Some(node) = fields.get("presets") {
        presets::check(checker, bottle, node, &mut egress);
    }
    if let Some(node) = fields.get("hosts") {
        for (key, node) in checker.mapping(node, "`hosts`").unwrap_or_default() {
            if let Some(entry) = static_host(checker, key, node) {
                add_host(checker, &mut egress.hosts, key, entry);
            }
        }
    }
    if let Some(node) = fields.get("private") {
        for node in checker.list(node, "`private`").unwrap_or_default() {
            egress.private.extend(private_range(checker, node));
        }
    }
    let proxies = [("guard", ProxyKind::Guard), ("pipelock", ProxyKind::Pipelock)];
    egress.proxy = fields.get("proxy").and_then(|node| one_of(checker, node, "`proxy`", &proxies));
    egress.ask = fields.get("ask").and_then(|node| ask(checker, node));
    egress.dlp = fields.get("dlp").map(|node| dlp(checker, node)).unwrap_or_default();
    egress.upstream = fields.get("upstream_proxy").and_then(|node| upstream(checker, node));
    intercept::check(checker, &fields, &mut egress);
    intercept::check_rules(checker, &egress, &rules);
    egress
}

fn ask(checker: &mut Checker<'_>, node: &Node) -> Option<Origin> {
    checker.truth(node, "`ask`")?.then(|| checker.source.origin(node.span))
}

/// A user and a password are secrets, so they come from a variable of the host and never from the manifest.
fn upstream(checker: &mut Checker<'_>, node: &Node) -> Option<Upstream> {
    let text = checker.text(node, "`upstream_proxy`", Lines::One)?;
    let mut wrong = |message: String| {
        let note = "write `http://host:port`, `${NAME}` for a variable of the host, or `none`";
        checker.report_with(ProblemKind::BadValue, node.span, message, note);
        None
    };
    let source = if text == "none" {
        UpstreamSource::Off
    } else if let Some(name) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
        match VariableName::new(name) {
            Ok(variable) => UpstreamSource::Host { variable },
            Err(error) => return wrong(format!("`upstream_proxy` names no variable of the host: {error}")),
        }
    } else {
        match crate::egress::upstream::parse(text) {
            Ok((address, None)) => UpstreamSource::Address(address),
            Ok((_, Some(_))) => {
                return wrong("a user and a password do not belong into a manifest".to_owned());
            }
            Err(reason) => {
                return wrong(format!("`upstream_proxy` is not the address of an HTTP proxy: {reason}"));
            }
        }
    };
    Some(Upstream { source, origin: checker.source.origin(node.span) })
}

fn rule(checker: &mut Checker<'_>, bottle: &BottleName, node: &Node) -> Option<Rule> {
    if presets::is_meant(node) {
        let note = "presets have a key of their own next to `allowlist`: `presets: [node, github]`";
        checker.wrong_type(node, "a rule", "text", Some(note.to_owned()));
        return None;
    }
    let text = checker.text(node, "a rule", Lines::One)?;
    if text.contains('/') && text.parse::<IpNet>().is_ok() {
        let message = format!("`{text}` is a range of addresses, and a rule names hosts");
        let note = "name each host; a private range that one of them may lie in goes into `private`";
        checker.report_with(ProblemKind::BadHost, node.span, message, note);
        return None;
    }
    let origin = format!("bottle {bottle}, {}", checker.source.origin(node.span));
    Rule::parse(text, origin).map_err(|error| bad_rule(checker, node, &error)).ok()
}

/// Returns a host or `*.domain`, without a port.
pub(super) fn host_pattern(checker: &mut Checker<'_>, node: &Node) -> Option<HostPattern> {
    let text = checker.text(node, "a host", Lines::One)?;
    HostPattern::parse(text).map_err(|error| bad_rule(checker, node, &error)).ok()
}

fn bad_rule(checker: &mut Checker<'_>, node: &Node, error: &RuleError) {
    let kind = match error {
        RuleError::Host { source: HostError::BadPort, .. } => ProblemKind::BadPort,
        _ => ProblemKind::BadHost,
    };
    let problem = Problem::at(kind, checker.source, node.span, error.with_cause());
    let problem = match (error, &node.value) {
        (RuleError::LooksLikeUrl { .. }, Value::String(url)) => problem.did_you_mean(host_of(url).as_deref()),
        _ => problem,
    };
    checker
        .problems
        .push(problem.note("a rule is `host` or `*.domain`, with `:port` and `/path` if need be, behind `deny ` and methods if need be"));
}

/// Returns the rule for the host of a URL.
fn host_of(url: &str) -> Option<String> {
    let authority = url.split_once("://")?.1.split(['/', '?', '#']).next()?;
    let rule = Rule::parse(authority, "").ok()?;
    Some(rule.to_string())
}

fn static_host(checker: &mut Checker<'_>, key: &Key, node: &Node) -> Option<StaticHost> {
    let host = Host::parse(&key.text);
    if let Err(error) = &host {
        checker.report(ProblemKind::BadHost, key.span, format!("host `{}`: {error}", key.text));
    }
    let nodes = match &node.value {
        Value::Sequence(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    if nodes.is_empty() {
        checker.report(ProblemKind::BadValue, node.span, format!("host `{}` has no address", key.text));
    }
    let addresses: Option<Vec<IpAddr>> = nodes.iter().map(|node| address(checker, node)).collect();
    let addresses = addresses.filter(|addresses| !addresses.is_empty())?;
    Some(StaticHost { host: host.ok()?, addresses, origin: checker.source.origin(key.span) })
}

/// Adds addresses of a name, unless the same host has some under another spelling: of two, one would silently be lost.
fn add_host(checker: &mut Checker<'_>, hosts: &mut Vec<StaticHost>, key: &Key, entry: StaticHost) {
    match hosts.iter().find(|other| other.host == entry.host) {
        None => hosts.push(entry),
        Some(first) => {
            let message = format!("the host `{}` is given twice, here as `{}`", entry.host, key.text);
            let note = format!("it was given first in line {}", first.origin.line());
            checker.report_with(ProblemKind::DuplicateKey, key.span, message, note);
        }
    }
}

fn address(checker: &mut Checker<'_>, node: &Node) -> Option<IpAddr> {
    let text = checker.text(node, "an address", Lines::One)?;
    match text.parse::<IpAddr>() {
        Ok(address) if address.is_unspecified() || address.is_multicast() => {
            checker.report(
                ProblemKind::BadHost,
                node.span,
                format!("the address `{text}` can never be dialled"),
            );
            None
        }
        Ok(address) => Some(address),
        Err(_) => {
            checker.report(ProblemKind::BadHost, node.span, format!("`{text}` is not a valid IP address"));
            None
        }
    }
}

fn private_range(checker: &mut Checker<'_>, node: &Node) -> Option<PrivateRange> {
    let fields = checker.fields(node, "an entry of `private`", &KEYS.private)?;
    let host = checker.required(&fields, "host", "this entry of `private`", node.span).and_then(|node| {
        let text = checker.text(node, "`host`", Lines::One)?;
        let parsed = HostOrIp::parse(text).map_err(|error| {
            checker.report(ProblemKind::BadHost, node.span, format!("host `{text}`: {error}"));
        });
        parsed.ok()
    });
    let range = checker
        .required(&fields, "range", "this entry of `private`", node.span)
        .and_then(|node| range(checker, node));
    let grant = PrivateGrant { host: host?, range: range? };
    Some(PrivateRange { grant, origin: checker.source.origin(node.span) })
}

fn range(checker: &mut Checker<'_>, node: &Node) -> Option<IpNet> {
    let text = checker.text(node, "`range`", Lines::One)?;
    let parsed = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let problem = match parsed {
        Err(_) => format!("`{text}` is not a valid address range; write it like `10.0.0.0/8`"),
        Ok(range) if range.prefix_len() == 0 => format!("the range `{text}` covers every address"),
        Ok(range) if range.addr() != range.network() => {
            format!("the range `{text}` has bits set beyond its prefix; write `{}`", range.trunc())
        }
        Ok(range) => return Some(range),
    };
    checker.report(ProblemKind::BadHost, node.span, problem);
    None
}

fn dlp(checker: &mut Checker<'_>, node: &Node) -> DlpConfig {
    let mut config = DlpConfig::default();
    let Some(fields) = checker.fields(node, "`dlp`", &KEYS.dlp) else { return config };
    let actions = [("block", DlpAction::Block), ("warn", DlpAction::Warn)];
    if let Some(action) = fields.get("secrets").and_then(|node| one_of(checker, node, "`secrets`", &actions))
    {
        config.secrets = action;
    }
    if let Some(action) = fields.get("rules").and_then(|node| one_of(checker, node, "`rules`", &actions)) {
        config.rules = action;
    }
    if let Some(node) = fields.get("exempt_hosts") {
        for node in checker.list(node, "`exempt_hosts`").unwrap_or_default() {
            config.exempt_hosts.extend(host_pattern(checker, node));
        }
    }
    if let Some(node) = fields.get("exempt_rules") {
        for node in checker.list(node, "`exempt_rules`").unwrap_or_default() {
            config
                .exempt_rules
                .extend(checker.text(node, "the name of a rule", Lines::One).map(str::to_owned));
        }
    }
    if let Some(node) = fields.get("also") {
        for node in checker.list(node, "`also`").unwrap_or_default() {
            config.also.extend(one_of(checker, node, "`also`", &DlpKind::ALL));
        }
    }
    config
}

/// Returns the value that a word stands for.
pub(super) fn one_of<T: Copy>(
    checker: &mut Checker<'_>,
    node: &Node,
    subject: &str,
    words: &[(&str, T)],
) -> Option<T> {
    let text = checker.text(node, subject, Lines::One)?;
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Some(*value);
    }
    let names = || words.iter().map(|(word, _)| *word);
    let known: Vec<String> = names().map(|word| format!("`{word}`")).collect();
    let message = format!("`{text}` is not a valid value of {subject}: use {}", known.join(" or "));
    let problem = Problem::at(ProblemKind::BadValue, checker.source, node.span, message);
    checker.problems.push(problem.did_you_mean(nearest(text, names())));
    None
}
