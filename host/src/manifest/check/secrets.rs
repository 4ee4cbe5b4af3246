//! Secrets that the guard holds. No message here repeats a value, and none is read: that is for the start.

use std::str::FromStr;
use std::time::Duration;

use claude_bottle_egress_policy::{Intercept, Place, RequestPattern, SecretHost};

use super::egress::one_of;
use super::{Checker, Fields, Lines, env, files};
use crate::duration;
use crate::egress::credentials::{self, Credential};
use crate::manifest::keys::KEYS;
use crate::manifest::model::{Bottle, Egress, EnvEntry, EnvName, EnvSource, ProxyKind};
use crate::manifest::node::{Key, Node, Value};
use crate::manifest::problem::ProblemKind;
use crate::manifest::secret::{SecretEntry, SecretSource, SecretUse, TokenSource};

/// The longest time between two runs of a command.
const LONGEST_REFRESH: u64 = 30 * 86_400;
/// The longest text in front of a placeholder.
const MAX_PREFIX: usize = 32;

/// Reads the section.
pub(super) fn check(checker: &mut Checker<'_>, node: &Node) -> Vec<SecretEntry> {
    let entries = checker.mapping(node, "`secrets`").unwrap_or_default();
    let mut secrets: Vec<_> = entries.iter().filter_map(|(key, node)| secret(checker, key, node)).collect();
    secrets.sort_by(|a, b| a.name.cmp(&b.name));
    secrets
}

fn secret(checker: &mut Checker<'_>, key: &Key, node: &Node) -> Option<SecretEntry> {
    let name = match EnvName::new(key.text.clone()) {
        Ok(name) => name,
        Err(error) => {
            let message = format!("`{}` cannot be the name of a secret: {error}", key.text);
            checker.report(ProblemKind::BadEnvName, key.span, message);
            return None;
        }
    };
    let origin = checker.source.origin(key.span);
    let kind = credentials::of_variable(name.as_str());
    if !matches!(node.value, Value::Mapping(_)) {
        let source = text_source(checker, key, node);
        uses(checker, key, kind, None)?;
        return SecretEntry::of_kind(name, source?, origin);
    }
    let fields = checker.fields(node, &format!("the secret `{name}`"), &KEYS.secret)?;
    let from = checker.required(&fields, "from", &format!("the secret `{name}`"), key.span);
    let source = from.and_then(|node| source(checker, key, node));
    let kind = match fields.get("preset") {
        None => kind,
        Some(node) => Some(preset(checker, node, name.as_str())?),
    };
    let uses = uses(checker, key, kind, Some(&fields))?;
    let flag = |checker: &mut Checker<'_>, name: &str| {
        fields.get(name).and_then(|node| checker.truth(node, &format!("`{name}`")))
    };
    let (always, only) = (flag(checker, "always"), flag(checker, "only"));
    let (env, plain_http) = (flag(checker, "env"), flag(checker, "plain_http"));
    Some(SecretEntry {
        uses,
        kind,
        always: always.unwrap_or(false),
        only: only.unwrap_or(kind.is_some_and(|kind| kind.only)),
        requests: fields.get("requests").map(|node| requests(checker, node)).unwrap_or_default(),
        has_variable: env.unwrap_or(true),
        prefix: fields.get("prefix").and_then(|node| prefix(checker, node)).unwrap_or_default(),
        plain_http: plain_http.unwrap_or(false),
        ..SecretEntry::new(name, source?, origin)
    })
}

/// Returns where the user's token comes from: a text, or `from` as a secret has it.
pub(super) fn token(checker: &mut Checker<'_>, key: &Key, node: &Node) -> Option<TokenSource> {
    let source = match node.value {
        Value::Mapping(_) => {
            let fields = checker.fields(node, "`token`", &["from".to_owned()])?;
            let from = checker.required(&fields, "from", "`token`", key.span)?;
            source(checker, key, from)?
        }
        _ => text_source(checker, key, node)?,
    };
    Some(TokenSource { source, origin: checker.source.origin(key.span) })
}

/// Returns where a value comes from that is one text, as an `env` entry has it. A value in clear is not a secret.
fn text_source(checker: &mut Checker<'_>, key: &Key, node: &Node) -> Option<SecretSource> {
    match env::source(checker, key, node)? {
        EnvSource::Ask { message } => Some(SecretSource::Ask { message }),
        EnvSource::Host { variable } => Some(SecretSource::Host { variable }),
        EnvSource::Literal(_) => {
            let message = format!("the secret `{}` stands here in clear", key.text);
            let note = "write `?message`, `${NAME}`, `{file: PATH}` or `{command: [PROGRAM, …]}`";
            checker.report_with(ProblemKind::BadEnvValue, key.span, message, note);
            None
        }
    }
}

fn source(checker: &mut Checker<'_>, key: &Key, node: &Node) -> Option<SecretSource> {
    if !matches!(node.value, Value::Mapping(_)) {
        return text_source(checker, key, node);
    }
    let fields = checker.fields(node, "`from`", &KEYS.secret_from)?;
    let refresh = fields.get("refresh").map(|node| (node, refresh(checker, node)));
    match (fields.get("file"), fields.get("command")) {
        (Some(_), None) if let Some((node, _)) = refresh => {
            let note = "a file is read at the start; `cat` as a command is asked again";
            checker.report_with(
                ProblemKind::Conflict,
                node.span,
                "`refresh` is for a `command`".to_owned(),
                note,
            );
            None
        }
        (Some(node), None) => file(checker, node),
        (None, Some(node)) => command(checker, node, refresh.and_then(|(_, every)| every)),
        (first, _) => {
            let message = "`from` takes either `file` or `command`".to_owned();
            let kind = if first.is_some() { ProblemKind::Conflict } else { ProblemKind::MissingKey };
            checker.report(kind, node.span, message);
            None
        }
    }
}

fn file(checker: &mut Checker<'_>, node: &Node) -> Option<SecretSource> {
    let text = checker.text(node, "`file`", Lines::One)?;
    let path = files::expand(checker, node, text)?;
    match files::open_regular(&path) {
        Ok(_) => Some(SecretSource::File(path)),
        Err(error) => {
            files::missing(checker, node, "`file`", text, &error);
            None
        }
    }
}

/// Returns a program and its arguments. It is run at a start alone, and never to look at a manifest.
fn command(checker: &mut Checker<'_>, node: &Node, refresh: Option<Duration>) -> Option<SecretSource> {
    let words = checker.list(node, "`command`")?;
    if words.is_empty() {
        checker.report(ProblemKind::BadValue, node.span, "`command` names no program");
        return None;
    }
    let words: Vec<_> =
        words.iter().map(|node| checker.text(node, "a word of `command`", Lines::One)).collect();
    let words = words.into_iter().map(|word| word.map(str::to_owned)).collect::<Option<_>>()?;
    Some(SecretSource::Command { words, refresh })
}

/// Returns how often a command is run again.
fn refresh(checker: &mut Checker<'_>, node: &Node) -> Option<Duration> {
    let text = checker.text(node, "`refresh`", Lines::One)?;
    let every = duration::seconds(text, LONGEST_REFRESH).map(Duration::from_secs);
    if every.is_none() {
        let message =
            format!("`{text}` is not a valid length of time: write it as `50m` or `2h`, up to `30d`");
        checker.report(ProblemKind::BadValue, node.span, message);
    }
    every
}

fn preset(checker: &mut Checker<'_>, node: &Node, variable: &str) -> Option<&'static Credential> {
    let names: Vec<_> = credentials::names().into_iter().map(|name| (name, name)).collect();
    one_of(checker, node, "`preset`", &names).and_then(|name| credentials::named(name, variable))
}

/// Returns the hosts with the places that it stands in there: as the manifest says, and what it leaves out as the preset has it.
fn uses(
    checker: &mut Checker<'_>,
    key: &Key,
    kind: Option<&'static Credential>,
    fields: Option<&Fields<'_>>,
) -> Option<Vec<SecretUse>> {
    let get = |name| fields.and_then(|fields| fields.get(name));
    let hosts = get("hosts").map(|node| {
        list(checker, node, "`hosts`", ProblemKind::BadHost, |text| {
            SecretHost::parse(text).map_err(|error| error.with_cause())
        })
    });
    let places = get("as").map(|node| {
        list(checker, node, "`as`", ProblemKind::BadPlace, |text| {
            Place::from_str(text).map_err(|error| error.to_string())
        })
    });
    let uses = match (hosts, kind) {
        (Some(hosts), _) => {
            let first = kind.and_then(|kind| kind.uses.first());
            let usual = || first.map_or(vec![Place::Bearer], |(_, places)| SecretUse::places(places));
            vec![SecretUse { hosts, places: places.unwrap_or_else(usual) }]
        }
        (None, Some(kind)) => SecretUse::of_kind(kind, places.as_deref()),
        (None, None) => {
            let message = format!("the secret `{}` goes to no host", key.text);
            let note = format!("name them in `hosts`, or a preset: {}", credentials::names().join(", "));
            checker.report_with(ProblemKind::MissingHosts, key.span, message, note);
            return None;
        }
    };
    let in_body = uses.iter().flat_map(|part| &part.places).find(|place| place.is_in_body());
    if let Some(place) = in_body.filter(|_| kind.is_some_and(Credential::is_of_api)) {
        let message =
            format!("`{place}`: a body towards a model's host is a conversation, and no secret goes into it");
        checker.report(ProblemKind::BadPlace, key.span, message);
        return None;
    }
    if uses.iter().any(|part| part.hosts.is_empty() || part.places.is_empty()) {
        if !checker.problems.is_empty() {
            return None;
        }
        let message = format!("the secret `{}` has an empty list of hosts or places", key.text);
        checker.report(ProblemKind::MissingHosts, key.span, message);
        return None;
    }
    Some(uses)
}

/// Returns what each entry of a list says; reports those that say nothing valid.
fn list<T>(
    checker: &mut Checker<'_>,
    node: &Node,
    subject: &str,
    kind: ProblemKind,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Vec<T> {
    let mut all = Vec::new();
    for node in checker.list(node, subject).unwrap_or_default() {
        let Some(text) = checker.text(node, &format!("an entry of {subject}"), Lines::One) else { continue };
        match parse(text) {
            Ok(value) => all.push(value),
            Err(message) => checker.report(kind, node.span, message),
        }
    }
    all
}

fn requests(checker: &mut Checker<'_>, node: &Node) -> Vec<RequestPattern> {
    list(checker, node, "`requests`", ProblemKind::BadValue, |text| {
        RequestPattern::parse(text).map_err(|error| error.with_cause())
    })
}

/// Returns a text that programs want a secret to begin with.
fn prefix(checker: &mut Checker<'_>, node: &Node) -> Option<String> {
    let text = checker.text(node, "`prefix`", Lines::One)?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
    if text.len() > MAX_PREFIX || !text.chars().all(is_plain) {
        let message = format!(
            "`{text}` is not a valid `prefix`: use up to {MAX_PREFIX} letters, digits, `-`, `_`, `.` and `~`"
        );
        checker.report(ProblemKind::BadValue, node.span, message);
        return None;
    }
    Some(text.to_owned())
}

/// Refuses what cannot be kept together with the rest of the bottle.
pub(super) fn check_together(checker: &mut Checker<'_>, node: &Node, bottle: &Bottle) {
    let Value::Mapping(entries) = &node.value else { return };
    for secret in &bottle.secrets {
        let Some((key, _)) = entries.iter().find(|(key, _)| key.text == secret.name.as_str()) else {
            continue;
        };
        if let Some((reason, note)) = obstacle(secret, &bottle.env, &bottle.egress) {
            let message = format!("the secret `{}`: {reason}", secret.name);
            checker.report_with(ProblemKind::Conflict, key.span, message, note);
        }
    }
}

/// Returns why the guard could not hold a secret, and what to do about it.
pub(crate) fn obstacle(
    secret: &SecretEntry,
    env: &[EnvEntry],
    egress: &Egress,
) -> Option<(String, &'static str)> {
    if env.iter().any(|entry| entry.name == secret.name) {
        let note = "keep one: what is in `env` the agent reads, and what is in `secrets` it does not";
        return Some(("`env` has a variable of this name".to_owned(), note));
    }
    if egress.proxy == Some(ProxyKind::Pipelock) {
        return Some(("pipelock puts in no secret".to_owned(), "set `proxy: guard`, or move it to `env`"));
    }
    if secret.plain_http {
        return None;
    }
    if egress.intercept.mode == Intercept::None {
        let note = "set `intercept: needed`, or move it to `env`, where the agent reads it";
        return Some((
            "it is put in within HTTPS, and `intercept: none` leaves that closed".to_owned(),
            note,
        ));
    }
    let passed = secret
        .hosts()
        .flat_map(|host| egress.passthrough.iter().filter(|other| other.overlaps(host.pattern())))
        .next()?;
    let note = "take the host out of `passthrough`, or move the secret to `env`, where the agent reads it";
    Some((format!("it is put in within HTTPS, and `passthrough` has `{passed}`"), note))
}
