//! What one request is about, for the log and for refusals; a word in which inspection found something is masked.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use claude_bottle_egress_policy::HostOrIp;

use super::admit::Denial;
use super::capture::Capture;
use super::state::Snapshot;
use super::uploads::Budget;
use crate::clock;
use crate::dlp::{Finding, Findings, PARTS};
use crate::http::response::Refusal;
use crate::net::join::Activity;

/// Characters of an unreadable host that are logged.
const MAX_LOGGED_TARGET: usize = 128;

/// Characters of a path that are logged.
const MAX_LOGGED_PATH: usize = 256;

/// What stands in the log and in a refusal for a word in which inspection found something.
pub(super) const MASK: &str = "***";

/// What one request is about, for the log and for refusals.
pub(crate) struct Request {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) activity: Activity,
    /// What inspection found and let pass.
    pub(super) warning: OnceLock<Finding>,
    /// What it may still send, where that is limited.
    pub(super) budget: OnceLock<Option<Budget>>,
    /// What the log shows of it and of its answer, where that is asked for.
    pub(super) capture: Capture,
    /// The names of the secrets that were put in.
    secrets: Mutex<Vec<String>>,
    pub(super) time: String,
    pub(super) method: String,
    pub(super) host: String,
    pub(super) port: u16,
    /// The path of a request in an opened tunnel, or of any where exchanges are shown, without its query.
    pub(super) path: Option<String>,
    /// What the agent said of it, as the log has it.
    pub(super) why: Option<String>,
    /// What inspection found in method and host name, before anything was decided.
    pub(super) words: Findings,
    /// The host name in its one spelling, when [`MASK`] stands for it.
    hidden: Option<String>,
}

impl Request {
    pub(super) fn new(snapshot: Arc<Snapshot>) -> Self {
        Self {
            snapshot,
            activity: Activity::default(),
            warning: OnceLock::new(),
            budget: OnceLock::new(),
            capture: Capture::default(),
            secrets: Mutex::default(),
            time: clock::now(),
            method: String::new(),
            host: String::new(),
            port: 0,
            path: None,
            why: None,
            words: Findings::default(),
            hidden: None,
        }
    }

    /// Notes secrets that are put in.
    pub(super) fn note_secrets(&self, names: &[String]) {
        let mut noted = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().for_each(|name| {
            if !noted.contains(name) {
                noted.push(name.clone());
            }
        });
    }

    /// Returns the names of the secrets that were put in.
    pub(super) fn secrets(&self) -> Vec<String> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes bytes that are about to go up, where that is limited.
    pub(super) fn spend(&self, bytes: usize) -> Result<(), Denial> {
        match self.budget.get() {
            Some(Some(budget)) => budget.spend(bytes as u64),
            _ => Ok(()),
        }
    }

    /// Takes what inspection found: the first warning is kept for the log, a blocking finding is a denial.
    pub(crate) fn note(&self, findings: Findings) -> Result<(), Denial> {
        if let Some(finding) = findings.warn {
            self.warning.get_or_init(|| finding);
        }
        match findings.block {
            Some(finding) => Err(Denial::new(finding.code(), finding.to_string())),
            None => Ok(()),
        }
    }

    /// Notes method and target as sent, the target without what is not its host, each of them looked at first.
    pub(super) fn describe(&mut self, method: &str, target: &str) {
        let inspector = &self.snapshot.inspector;
        let authority = authority(target);
        let (words, host) = (inspector.word(method, "method"), inspector.word(authority, "host name"));
        let shown = |findings: &Findings, text: &str| {
            if findings.any() { MASK.to_owned() } else { text.chars().take(MAX_LOGGED_TARGET).collect() }
        };
        let host_alone = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        (self.method, self.host) = (shown(&words, method), shown(&host, host_alone));
        self.hidden = host.any().then(String::new);
        self.words = Findings { block: words.block.or(host.block), warn: words.warn.or(host.warn) };
    }

    /// Notes the path of a request, for the log alone.
    pub(super) fn describe_path(&mut self, target: &str) {
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        let shown = match self.snapshot.inspector.word(path, "URL").any() {
            true => MASK.to_owned(),
            false => path.chars().take(MAX_LOGGED_PATH).collect(),
        };
        self.path = Some(shown);
    }

    pub(super) fn resolve_to(&mut self, host: &HostOrIp, port: u16) {
        let host = host.to_string();
        match &mut self.hidden {
            Some(hidden) => *hidden = host,
            None => self.host = host,
        }
        self.port = port;
    }

    /// Masks a word that holds part of a secret which the whole request makes up.
    pub(super) fn hide_parts(&mut self, findings: &Findings) {
        let inspector = &self.snapshot.inspector;
        let in_parts = [&findings.block, &findings.warn].into_iter().flatten().any(|f| f.place == PARTS);
        if in_parts && inspector.has_part(&self.method) {
            MASK.clone_into(&mut self.method);
        }
        if in_parts && let Some(path) = self.path.as_mut().filter(|path| inspector.has_part(path)) {
            MASK.clone_into(path);
        }
        if in_parts && self.hidden.is_none() && inspector.has_part(&self.host) {
            self.hidden = Some(std::mem::replace(&mut self.host, MASK.to_owned()));
        }
    }

    /// Returns what the client is told of a denial.
    pub(super) fn refusal<'a>(&'a self, denial: &'a Denial) -> Refusal<'a> {
        Refusal {
            error: "egress_denied",
            code: denial.code,
            host: &self.host,
            port: self.port,
            rule: denial.rule.as_deref(),
            reason: &denial.reason,
            hint: denial.code.hint(),
        }
    }

    /// Returns `true` if [`MASK`] stands for the host.
    pub(super) fn is_hidden(&self) -> bool {
        self.hidden.is_some()
    }

    pub(super) fn masked(&self, denial: Denial) -> Denial {
        let detail = denial.detail.map(|detail| self.mask(detail));
        Denial { reason: self.mask(denial.reason), detail, ..denial }
    }

    pub(super) fn mask(&self, text: String) -> String {
        match self.hidden.as_deref() {
            Some(host) if !host.is_empty() => text.replace(host, MASK),
            _ => text,
        }
    }
}

/// Returns what stands where a target has its host, cut before the path.
fn authority(target: &str) -> &str {
    let rest = target.split_once("://").map_or(target, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}
