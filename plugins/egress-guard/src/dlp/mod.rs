//! Looks for credentials in what a request shows: host, URL, headers, and the body of plain HTTP.
//!
//! Two kinds are looked for. The bottle's own secrets are found raw, encoded, re-encoded, split over parameters and
//! hidden behind look-alike characters. The rule set finds what has the form of a well-known credential.
//!
//! Invariant: a finding names the secret or the rule, and never holds a byte of what was found.

pub mod body;
pub mod decode;
mod keywords;
pub mod normalise;
pub mod rules;
pub mod secrets;
pub mod views;
mod words;

use std::fmt;

use claude_bottle_egress_policy::{Code, DlpAction, DlpConfig, GuardSecrets, HostOrIp, HostPattern, Scheme};

use crate::error::GuardError;
use crate::http::destination::Destination;
use crate::http::head::RequestHead;
use rules::RuleIndex;
use secrets::SecretSet;

/// Headers in which a client shows its credential to the host it talks to. The rule set does not look at them, since
/// finding a credential there says nothing; a secret of the bottle passes there towards its own hosts only.
const CREDENTIAL_HEADERS: &[&str] = &[
    "authorization",
    "cookie",
    "x-api-key",
    "api-key",
    "x-auth-token",
    "x-access-token",
    "x-goog-api-key",
    "x-amz-security-token",
    "x-vault-token",
    "x-registry-auth",
    "private-token",
    "job-token",
];

/// Headers that never leave the guard.
const UNSENT_HEADERS: &[&str] = &["proxy-authorization", "proxy-connection"];

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The bottle's secret of this name.
    Secret(String),
    /// Something that fits this rule.
    Rule(&'static str),
}

/// What was found, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which secret or rule.
    pub what: What,
    /// Where: `host name`, `URL`, `headers`, `body`.
    pub place: &'static str,
}

impl Finding {
    /// Returns the stable code.
    pub fn code(&self) -> Code {
        match self.what {
            What::Secret(_) => Code::DlpSecret,
            What::Rule(_) => Code::DlpRule,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Secret(name) => write!(f, "the secret `{name}` is in the {} of the request", self.place),
            What::Rule(id) => {
                write!(f, "the rule `{id}` fits something in the {} of the request", self.place)
            }
        }
    }
}

/// What was found in one look: the first finding that blocks, and the first that only warns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Ends the request.
    pub block: Option<Finding>,
    /// Goes to the log.
    pub warn: Option<Finding>,
}

/// Memory that one look leaves to the next.
#[derive(Default)]
struct Scratch {
    bare: Vec<u8>,
    readings: views::Spare,
}

/// Everything one configuration looks for.
pub struct Inspector {
    secrets: SecretSet,
    on_secret: DlpAction,
    on_rule: DlpAction,
    exempt_hosts: Vec<HostPattern>,
    exempt_rules: Vec<RuleIndex>,
}

/// Which of the two kinds is looked for in one place.
#[derive(Debug, Clone, Copy)]
struct Look<'a> {
    host: &'a HostOrIp,
    place: &'static str,
    rules: bool,
    /// Secrets whose own host this is may pass here.
    credential: bool,
}

impl Inspector {
    /// Returns an inspector for these secrets.
    pub fn new(config: &DlpConfig, secrets: &GuardSecrets) -> Result<Self, GuardError> {
        // The rules are compiled when they are first needed, since listening need not wait for them.
        let exempt_rules =
            config.exempt_rules.iter().map(|name| find_rule(name)).collect::<Result<_, _>>()?;
        Ok(Self {
            secrets: SecretSet::new(secrets)?,
            on_secret: config.secrets,
            on_rule: config.rules,
            exempt_hosts: config.exempt_hosts.clone(),
            exempt_rules,
        })
    }

    /// Returns names of secrets that are too short to be looked for.
    pub fn skipped_secrets(&self) -> &[String] {
        self.secrets.skipped()
    }

    /// Looks at everything of a request but its body. Comes before any lookup, since a lookup already tells the name.
    pub fn head(&self, head: &RequestHead, wanted: &Destination) -> Findings {
        let (mut findings, mut scratch) = (Findings::default(), Scratch::default());
        let host = &wanted.host;
        let name = host.to_string();
        let plain = wanted.scheme == Scheme::Http;
        self.look(
            name.as_bytes(),
            Look { host, place: "host name", rules: false, credential: false },
            &mut scratch,
            &mut findings,
        );
        self.look(
            wanted.path.as_bytes(),
            Look { host, place: "URL", rules: plain, credential: false },
            &mut scratch,
            &mut findings,
        );
        for header in &head.headers {
            let name = header.name.as_str();
            if UNSENT_HEADERS.contains(&name) {
                continue;
            }
            let credential = CREDENTIAL_HEADERS.contains(&name);
            let look = Look { host, place: "headers", rules: plain && !credential, credential };
            self.look(&header.value, look, &mut scratch, &mut findings);
            let look = Look { rules: false, credential: false, ..look };
            self.look(name.as_bytes(), look, &mut scratch, &mut findings);
        }
        self.look_for_parts(head, wanted, &mut findings);
        findings
    }

    /// Looks at one piece of a body.
    fn body_piece(&self, bytes: &[u8], host: &HostOrIp, scratch: &mut Scratch) -> Findings {
        let mut findings = Findings::default();
        self.look(
            bytes,
            Look { host, place: "body", rules: true, credential: false },
            scratch,
            &mut findings,
        );
        findings
    }

    /// Returns how many bytes a piece of a body has to overlap with the next, so that no secret falls between them.
    pub(crate) fn overlap(&self) -> usize {
        self.secrets.longest().clamp(4 * 1024, 64 * 1024)
    }

    fn look(&self, bytes: &[u8], look: Look<'_>, scratch: &mut Scratch, findings: &mut Findings) {
        let with_rules = look.rules && !self.exempt_hosts.iter().any(|pattern| pattern.matches(look.host));
        let Scratch { bare, readings } = scratch;
        let may_pass = |hosts: &[HostPattern]| look.credential && is_own(hosts, look.host);
        views::each(bytes, readings, &mut |view| {
            if let Some(secret) = self.secrets.find(view, bare, may_pass) {
                self.note(What::Secret(secret.to_owned()), look.place, findings);
            }
            if with_rules && let Some(id) = self.fitting_rule(view) {
                self.note(What::Rule(id), look.place, findings);
            }
            findings.block.is_none()
        });
    }

    fn fitting_rule(&self, view: &[u8]) -> Option<&'static str> {
        match rules::builtin() {
            Ok(rules) => rules.find_in(view, |index| !self.exempt_rules.contains(&index)),
            // Tested never to happen; if it did, nothing could be called clean.
            Err(_) => Some("unusable-rule-set"),
        }
    }

    /// Tells whether a body that cannot be looked into has to be refused.
    pub(crate) fn blocks(&self) -> bool {
        self.on_secret == DlpAction::Block || self.on_rule == DlpAction::Block
    }

    /// A secret cut into parameters, path segments and headers is found by how much of it the parts cover.
    fn look_for_parts(&self, head: &RequestHead, wanted: &Destination, findings: &mut Findings) {
        let values = head
            .headers
            .iter()
            .filter(|h| {
                !UNSENT_HEADERS.contains(&h.name.as_str()) && !CREDENTIAL_HEADERS.contains(&h.name.as_str())
            })
            .map(|header| header.value.as_slice());
        let mut parts = Vec::new();
        for text in values.chain([wanted.path.as_bytes()]) {
            secrets::split_parts(text, &mut parts);
        }
        if let Some(secret) = self.secrets.covered_by(&parts) {
            self.note(What::Secret(secret.to_owned()), "URL and headers", findings);
        }
    }

    fn note(&self, what: What, place: &'static str, findings: &mut Findings) {
        let action = match what {
            What::Secret(_) => self.on_secret,
            What::Rule(_) => self.on_rule,
        };
        let slot = match action {
            DlpAction::Block => &mut findings.block,
            DlpAction::Warn => &mut findings.warn,
        };
        slot.get_or_insert(Finding { what, place });
    }
}

fn find_rule(name: &str) -> Result<RuleIndex, GuardError> {
    rules::builtin()?.find(name).ok_or_else(|| GuardError::UnknownRule { name: name.to_owned() })
}

fn is_own(hosts: &[HostPattern], host: &HostOrIp) -> bool {
    hosts.iter().any(|pattern| pattern.matches(host))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

#[cfg(test)]
#[path = "hiding_tests.rs"]
mod hiding_tests;
