//! Looks for credentials in what a request shows: host, URL, headers, and the body of plain HTTP.
//!
//! Two kinds are looked for. The bottle's own secrets are found raw, encoded, re-encoded, split over parameters and
//! hidden behind look-alike characters. The rule set finds what has the form of a well-known credential.
//!
//! Invariant: a finding names the secret or the rule, and never holds a byte of what was found.

pub(crate) mod answer;
pub mod body;
mod finding;
pub(crate) mod mask;
#[cfg(fuzzing)]
mod trial;
pub mod unpack;

use std::borrow::Cow;

use claude_bottle_egress_policy::{
    DlpAction, DlpConfig, DlpKind, GuardSecrets, HostOrIp, HostPattern, Scheme,
};
use memchr::memmem::{self, Finder};

use secret_scan::parts::{self, Coverage};
use secret_scan::rules::{self, RuleIndex};
use secret_scan::secrets::SecretSet;
use secret_scan::{also, decode, vendors, views};

use crate::dlp::mask::Mask;
use crate::error::GuardError;
use crate::http::destination::Destination;
use crate::http::head::RequestHead;

pub use finding::{Finding, Findings, What};
#[cfg(fuzzing)]
pub use trial::Trial;

/// Headers in which a client shows its credential to the host it talks to. A secret of the bottle passes there towards its
/// own hosts only, and what fits a rule towards the hosts of the vendor that gives such credentials.
pub(crate) const CREDENTIAL_HEADERS: &[&str] = &[
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

/// Where a secret is that several fields of a request make up together.
pub(crate) const PARTS: &str = "fields";

/// What is said to be found in text with more encodings within each other than can be looked through.
const TOO_DEEP: &str = "too-many-encodings";

/// Headers that never leave the guard.
const UNSENT_HEADERS: &[&str] = &["proxy-authorization", "proxy-connection"];

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
    also: Vec<DlpKind>,
    /// Texts that stand for secrets and tell nothing: no rule is to fit them.
    placeholders: Vec<Finder<'static>>,
    model_hosts: Vec<HostPattern>,
    /// What is masked in bodies to those; empty where there are none.
    mask: Mask,
}

/// Which of the two kinds is looked for in one place.
#[derive(Debug, Clone, Copy)]
struct Look<'a> {
    /// Where the request goes, once that is known.
    host: Option<&'a HostOrIp>,
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
        let is_masked = !config.model_hosts.is_empty() && config.secrets == DlpAction::Block;
        let mask = if is_masked { Mask::of_all(secrets)? } else { Mask::default() };
        Ok(Self {
            secrets: SecretSet::new(secrets)?,
            on_secret: config.secrets,
            on_rule: config.rules,
            exempt_hosts: config.exempt_hosts.clone(),
            exempt_rules,
            also: config.also.clone(),
            placeholders: Vec::new(),
            model_hosts: config.model_hosts.clone(),
            mask,
        })
    }

    /// Returns the same for a bottle whose agent has these placeholders.
    #[must_use]
    pub fn with_placeholders<'p>(self, placeholders: impl Iterator<Item = &'p str>) -> Self {
        Self { placeholders: placeholders.map(|text| Finder::new(text).into_owned()).collect(), ..self }
    }

    /// Returns what is masked in a body to this host, and not refused.
    pub(crate) fn mask(&self, host: &HostOrIp) -> Option<&Mask> {
        (is_own(&self.model_hosts, host) && !self.mask.is_empty()).then_some(&self.mask)
    }

    /// Returns the text for the rules, without its placeholders.
    fn without_placeholders<'v>(&self, view: &'v [u8]) -> Cow<'v, [u8]> {
        let mut plain = Cow::Borrowed(view);
        for finder in &self.placeholders {
            let mut from = 0;
            while let Some(at) = finder.find(&plain[from..]) {
                let span = from + at..from + at + finder.needle().len();
                from = span.end;
                plain.to_mut()[span].fill(b'*');
            }
        }
        plain
    }

    /// Returns names of secrets that are too short to be looked for.
    pub fn skipped_secrets(&self) -> &[String] {
        self.secrets.skipped()
    }

    /// Looks at one word of a request that the log and the answer repeat: the method, or the host name as it was sent.
    /// Comes before everything else, since a refusal repeats it too.
    pub fn word(&self, word: &str, place: &'static str) -> Findings {
        let mut findings = Findings::default();
        let look = Look { host: None, place, rules: true, credential: false };
        self.look(word.as_bytes(), look, &mut Scratch::default(), &mut findings);
        findings
    }

    /// Looks at everything of a request but its first words and its body. Comes before any lookup, since a lookup already
    /// tells the name.
    pub fn head(&self, head: &RequestHead, wanted: &Destination) -> Findings {
        let (mut findings, mut scratch) = (Findings::default(), Scratch::default());
        let host = Some(&wanted.host);
        let plain = wanted.scheme != Scheme::Connect;
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
            let look = Look { host, place: "headers", rules: plain, credential };
            self.look(&header.value, look, &mut scratch, &mut findings);
            let look = Look { rules: false, credential: false, ..look };
            self.look(name.as_bytes(), look, &mut scratch, &mut findings);
        }
        self.look_for_parts(head, wanted, &mut findings);
        findings
    }

    /// Looks at one piece of a body; of a form, at its values put together as well.
    fn body_piece(&self, bytes: &[u8], (host, form): (&HostOrIp, bool), scratch: &mut Scratch) -> Findings {
        let mut findings = Findings::default();
        let look = Look { host: Some(host), place: "body", rules: true, credential: false };
        self.look(bytes, look, scratch, &mut findings);
        if form && findings.block.is_none() {
            let mut values = Vec::with_capacity(bytes.len());
            parts::add_values(bytes, &mut values);
            self.look(&values, look, scratch, &mut findings);
            let mut coverage = Coverage::new(&self.secrets, |_| false);
            coverage.add(bytes);
            self.note_secret(coverage.whole(), look.place, &mut findings);
        }
        findings
    }

    /// Looks at letters and digits alone: those that have gone before a piece of a body, and the first of the piece.
    fn body_letters(&self, letters: &[u8]) -> Findings {
        let mut findings = Findings::default();
        let found = self.secrets.find(letters, &mut Vec::new(), |_| false);
        self.note_secret(found, "body", &mut findings);
        findings
    }

    /// Returns how many letters and digits the longest form of a secret has.
    pub(crate) fn longest(&self) -> usize {
        self.secrets.longest()
    }

    /// Returns how many bytes a piece of a body has to overlap with the next, so that no secret falls between them.
    pub(crate) fn overlap(&self) -> usize {
        self.secrets.longest().clamp(4 * 1024, 64 * 1024)
    }

    fn look(&self, bytes: &[u8], look: Look<'_>, scratch: &mut Scratch, findings: &mut Findings) {
        let with_rules = look.rules && !look.host.is_some_and(|host| is_own(&self.exempt_hosts, host));
        let Scratch { bare, readings } = scratch;
        let may_pass =
            |hosts: &[HostPattern]| look.credential && look.host.is_some_and(|host| is_own(hosts, host));
        let whole = views::each(bytes, readings, &mut |view| {
            self.note_secret(self.secrets.find(view, bare, may_pass), look.place, findings);
            let plain = if with_rules { self.without_placeholders(view) } else { Cow::Borrowed(view) };
            if with_rules && let Some(id) = self.fitting_rule(&plain, look) {
                self.note_rule(id, look, findings);
            }
            // A token is what such a header is for, and a number in a cookie its host's own.
            if with_rules
                && !look.credential
                && let Some(kind) = also::find(&self.also, &plain)
            {
                self.note_rule(kind, look, findings);
            }
            findings.block.is_none()
        });
        if !whole {
            let finding = Finding { what: What::Rule(TOO_DEEP), place: look.place };
            let slot = if self.blocks() { &mut findings.block } else { &mut findings.warn };
            slot.get_or_insert(finding);
        }
    }

    fn fitting_rule(&self, view: &[u8], look: Look<'_>) -> Option<&'static str> {
        // Tested never to happen; if it did, nothing could be called clean.
        let Ok(rules) = rules::builtin() else { return Some("unusable-rule-set") };
        let wanted = |index| !self.exempt_rules.contains(&index);
        let Some(host) = look.host.filter(|_| look.credential) else { return rules.find_in(view, wanted) };
        // A word in front of a value says nothing in a header whose values are credentials.
        let foreign = |index| !rules.is_named(index) && !vendors::may_be_shown(rules.name(index), host);
        let own = |value: &[u8]| {
            self.secrets
                .values()
                .any(|(_, secret, hosts)| is_own(hosts, host) && memmem::find(secret, value).is_some())
        };
        rules.find_other_in(view, |index| wanted(index) && foreign(index), own)
    }

    /// Tells whether a body that cannot be looked into has to be refused.
    pub(crate) fn blocks(&self) -> bool {
        self.on_secret == DlpAction::Block || self.on_rule == DlpAction::Block
    }

    /// A secret cut into words of the request is found by how much of it they make up; one that is cut into shorter parts, by
    /// putting the fields together in their order.
    ///
    /// A credential header counts for the secrets that may not go there.
    fn look_for_parts(&self, head: &RequestHead, wanted: &Destination, findings: &mut Findings) {
        let host = wanted.host.to_string();
        let sent = || head.headers.iter().filter(|h| !UNSENT_HEADERS.contains(&h.name.as_str()));
        let is_credential = |name: &str| CREDENTIAL_HEADERS.contains(&name);
        let has_credentials = sent().any(|header| is_credential(&header.name));
        for credentials in [false, true].into_iter().filter(|credentials| !credentials || has_credentials) {
            let may_pass = |hosts: &[HostPattern]| credentials && is_own(hosts, &wanted.host);
            let mut coverage = Coverage::new(&self.secrets, may_pass);
            let mut fields = [host.as_bytes(), b" ", head.method.as_bytes(), b" "].concat();
            coverage.add(&fields);
            coverage.add(wanted.path.as_bytes());
            parts::add_values(wanted.path.as_bytes(), &mut fields);
            for header in sent().filter(|header| credentials || !is_credential(&header.name)) {
                coverage.add(header.name.as_bytes());
                coverage.add(&header.value);
                parts::add_values(&header.value, &mut fields);
            }
            let fields = decode::percent(&fields).unwrap_or(fields);
            let found = coverage.whole().or_else(|| self.secrets.find(&fields, &mut Vec::new(), may_pass));
            self.note_secret(found, PARTS, findings);
        }
    }

    /// Returns `true` if a word holds part of a secret, of one that is found by its parts.
    pub fn has_part(&self, word: &str) -> bool {
        let mut coverage = Coverage::new(&self.secrets, |_| false);
        coverage.add(word.as_bytes());
        coverage.any()
    }

    fn note_secret(&self, name: Option<&str>, place: &'static str, findings: &mut Findings) {
        if let Some(name) = name {
            finding::note(What::Secret(name.to_owned()), (place, self.on_secret), findings);
        }
    }

    /// A conversation with a model is full of what rules fit, and is sent again with each request.
    fn note_rule(&self, id: &'static str, look: Look<'_>, findings: &mut Findings) {
        let is_model = look.host.is_some_and(|host| is_own(&self.model_hosts, host));
        let action = if is_model { DlpAction::Warn } else { self.on_rule };
        finding::note(What::Rule(id), (look.place, action), findings);
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

#[cfg(test)]
#[path = "limits_tests.rs"]
mod limits_tests;

#[cfg(test)]
#[path = "corpus_tests.rs"]
mod corpus_tests;
