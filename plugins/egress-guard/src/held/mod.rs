//! Secrets that the guard holds for the agent: their values, and where in a request a placeholder becomes one.
//!
//! A placeholder is replaced where it is the whole credential, in a place that is named, towards a host that is named. Anywhere
//! else it is text, and passes as it came.
//!
//! Invariant: nothing here can be printed, and what is said names a secret and never its value.

mod body;
mod credential;
mod find;
mod foreign;
mod json;
#[cfg(test)]
mod property_tests;
mod put;
#[cfg(fuzzing)]
mod trial;
mod url;

use std::sync::Arc;

use claude_bottle_egress_policy::{GuardSecret, GuardSecrets, HeldSecret, HostOrIp, Place, Scheme};
use memchr::memmem::Finder;
use zeroize::Zeroizing;

use crate::error::GuardError;

pub(crate) use body::BodyFill;
pub(crate) use put::Put;

/// Shorter values could not be masked in answers without hiding ordinary words.
const SHORTEST: usize = 8;
/// The longest value: it has to fit into a header.
const LONGEST: usize = 16 * 1024;

/// All secrets that one guard holds.
#[derive(Clone, Default)]
pub struct Held {
    entries: Arc<Vec<Entry>>,
}

/// One of them, at its hosts.
struct Entry {
    told: HeldSecret,
    value: Zeroizing<String>,
}

impl Held {
    /// Takes the value of each secret from the bottle's secrets.
    ///
    /// # Errors
    /// Fails when one is missing, or is not a value that could be put in. The error has its name alone.
    pub fn new(told: &[HeldSecret], secrets: &GuardSecrets) -> Result<Self, GuardError> {
        let entry = |told: &HeldSecret| {
            let name = || told.name.clone();
            let secret = secrets.entries.iter().find(|secret| secret.name == told.name);
            let value = &secret.ok_or_else(|| GuardError::NoHeldValue { name: name() })?.value;
            if !is_value(value) || *value == told.placeholder {
                return Err(GuardError::BadHeldValue { name: name() });
            }
            Ok(Entry { told: told.clone(), value: Zeroizing::new(value.clone()) })
        };
        Ok(Self { entries: Arc::new(told.iter().map(entry).collect::<Result<_, _>>()?) })
    }

    /// Returns the bottle's secrets as inspection takes them: the value of a held one comes from no agent, so no host may have it.
    pub(crate) fn for_inspection(&self, secrets: &GuardSecrets) -> GuardSecrets {
        let entry = |secret: &GuardSecret| {
            let is_held = self.entries.iter().any(|entry| entry.told.name == secret.name);
            let hosts = if is_held { Vec::new() } else { secret.hosts.clone() };
            GuardSecret { hosts, ..secret.clone() }
        };
        GuardSecrets { entries: secrets.entries.iter().map(entry).collect() }
    }

    /// Returns each secret once: one has an entry for each kind of places.
    fn each(&self) -> impl Iterator<Item = &Entry> {
        let is_first = |(index, entry): &(usize, &Entry)| {
            !self.entries[..*index].iter().any(|other| other.told.placeholder == entry.told.placeholder)
        };
        self.entries.iter().enumerate().filter(is_first).map(|(_, entry)| entry)
    }

    /// Returns what the agent has.
    pub(crate) fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.each().map(|entry| entry.told.placeholder.as_str())
    }

    /// Returns names and values of those among a bottle's secrets that are held.
    pub(crate) fn values_among<'s>(
        &self,
        secrets: &'s GuardSecrets,
    ) -> impl Iterator<Item = (&'s str, &'s str)> {
        let is_held = |secret: &&GuardSecret| self.each().any(|entry| entry.told.name == secret.name);
        secrets.entries.iter().filter(is_held).map(|secret| (secret.name.as_str(), secret.value.as_str()))
    }

    /// Returns a text with placeholders in place of values; `None` when it has none.
    pub(crate) fn hide(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut hidden = None;
        for entry in self.each() {
            let finder = Finder::new(entry.value.as_bytes());
            let from = hidden.as_deref().unwrap_or(text);
            let hits: Vec<usize> = finder.find_iter(from).collect();
            if hits.is_empty() {
                continue;
            }
            let (mut next, mut end) = (Vec::with_capacity(from.len()), 0);
            for at in hits {
                next.extend_from_slice(&from[end..at]);
                next.extend_from_slice(entry.told.placeholder.as_bytes());
                end = at + entry.value.len();
            }
            next.extend_from_slice(&from[end..]);
            hidden = Some(next);
        }
        hidden
    }

    /// Returns `true` if a secret may go to this place, so that it could come back from there.
    pub(crate) fn goes_to(&self, host: &HostOrIp, port: u16, scheme: Scheme) -> bool {
        self.entries.iter().any(|entry| entry.told.is_for(host, port, scheme))
    }

    /// Returns `true` if a credential stands in this header at some host.
    fn is_named(&self, header: &str) -> bool {
        let is_it = |place: &Place| place.header() == Some(header);
        self.entries.iter().any(|entry| entry.told.places.iter().any(is_it))
    }
}

/// Returns `true` if a value can stand in every place.
fn is_value(value: &str) -> bool {
    (SHORTEST..=LONGEST).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn held(yaml: &str, secrets: &[(&str, &str)]) -> Result<Held, GuardError> {
        let told: Vec<HeldSecret> = serde_json::from_str(yaml).unwrap();
        let entry = |(name, value): &(&str, &str)| GuardSecret {
            name: (*name).to_owned(),
            value: (*value).to_owned(),
            hosts: Vec::new(),
        };
        Held::new(&told, &GuardSecrets { entries: secrets.iter().map(entry).collect() })
    }

    const ONE: &str = r#"[{"name": "TOKEN", "placeholder": "placeholder-for-TOKEN", "hosts": ["a.example"], "places": ["bearer"]}]"#;

    #[test]
    fn a_value_that_cannot_be_put_in_is_told_by_its_name() {
        let check = |secrets: &[(&str, &str)], part: &str| {
            let error = held(ONE, secrets).err().unwrap().to_string();
            assert!(error.contains(part) && error.contains("`TOKEN`"), "{error}");
            assert!(secrets.iter().all(|(_, value)| value.is_empty() || !error.contains(value)), "{error}");
        };
        check(&[], "missing");
        check(&[("OTHER", "hunter2-hunter2")], "missing");
        for value in
            ["", "hunter2", "hunter2 hunter2", "hunter2\nhunter2", "hunter2-hünter", "placeholder-for-TOKEN"]
        {
            check(&[("TOKEN", value)], "has not a valid value");
        }
        check(&[("TOKEN", &"x".repeat(LONGEST + 1))], "has not a valid value");
        assert!(held(ONE, &[("TOKEN", "hunter2-hunter2")]).is_ok());
    }

    #[test]
    fn no_host_may_have_the_value_of_a_held_secret_from_the_agent() {
        let held = held(ONE, &[("TOKEN", "hunter2-hunter2")]).unwrap();
        let json = r#"[{"name":"TOKEN","value":"hunter2-hunter2","hosts":["a.example"]},{"name":"OTHER","value":"x","hosts":["a.example"]}]"#;
        let secrets = held.for_inspection(&GuardSecrets::from_json(json).unwrap());
        assert_eq!(secrets.entries.iter().map(|secret| secret.hosts.len()).collect::<Vec<_>>(), [0, 1]);
    }
}
