//! Credentials that a host did not take: it answered 401, and no answer since says otherwise.

use std::collections::BTreeMap;

use claude_bottle_egress_policy::{LogRecord, UNAUTHORIZED};
use claude_bottle_plugin_api::SecretSpec;
use serde::Serialize;

/// How many are told apart; an agent can ask for any number of hosts.
const MOST: usize = 1_000;

/// What a host did not take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rejected {
    /// The host.
    pub host: String,
    /// The secrets that the guard put in; none where the agent sent a credential of its own, or nothing.
    pub secrets: Vec<String>,
    /// How many requests were answered so.
    pub requests: usize,
}

impl Rejected {
    /// Returns the credentials it is about: those that were put in, or those that the agent reads and may send there.
    pub fn credentials<'s>(&'s self, granted: &'s [SecretSpec]) -> Vec<&'s str> {
        if !self.secrets.is_empty() {
            return self.secrets.iter().map(String::as_str).collect();
        }
        let is_for = |spec: &&SecretSpec| spec.hosts.contains(&self.host);
        granted.iter().filter(is_for).map(|spec| spec.name.as_str()).collect()
    }
}

/// Counts answers of 401, by host and by what was put in.
#[derive(Debug, Default)]
pub(super) struct Counter(BTreeMap<(String, Vec<String>), usize>);

impl Counter {
    /// Takes a line of the log. An answer that grants what was asked for shows that a credential is good by now.
    pub(super) fn take(&mut self, record: &LogRecord) {
        let key = || (record.host.clone(), record.secrets.clone());
        match record.answer() {
            Some(UNAUTHORIZED) if self.0.len() < MOST || self.0.contains_key(&key()) => {
                *self.0.entry(key()).or_default() += 1;
            }
            Some(200..=299) => drop(self.0.remove(&key())),
            _ => {}
        }
    }

    /// Returns what is not taken.
    pub(super) fn finish(self) -> Vec<Rejected> {
        let rejected = |((host, secrets), requests)| Rejected { host, secrets, requests };
        self.0.into_iter().map(rejected).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(lines: &[(&str, &str, &[&str])]) -> Vec<Rejected> {
        let mut counter = Counter::default();
        for (host, reason, secrets) in lines {
            let line = serde_json::json!({
                "time": "", "event": "request", "connection": 1, "bottle": "", "client": "", "method": "GET", "host": host,
                "port": 443, "verdict": "allow", "code": "allowed", "reason": reason, "bytes_up": 0, "bytes_down": 0,
                "duration_ms": 0, "secrets": secrets,
            });
            counter.take(&serde_json::from_value(line).unwrap());
        }
        counter.finish()
    }

    #[test]
    fn what_was_put_in_is_named_until_the_host_takes_it() {
        let refused = ("api.test", "answered 401 to `KEY`", &["KEY"][..]);
        let found = counted(&[refused, refused, ("other.test", "answered 200", &["KEY"])]);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].host.as_str(), found[0].requests), ("api.test", 2));
        assert_eq!(found[0].credentials(&[]), ["KEY"]);
        assert!(counted(&[refused, ("api.test", "answered 204", &["KEY"])]).is_empty());
        // That it is not allowed to do something, or that a server failed, does not show that it is good.
        for reason in ["answered 403", "answered 500"] {
            assert_eq!(counted(&[refused, ("api.test", reason, &["KEY"])]).len(), 1, "{reason}");
        }
    }

    #[test]
    fn what_the_agent_reads_is_named_at_its_own_hosts_alone() {
        let granted = [SecretSpec::new("TOKEN", vec!["api.test".to_owned()])];
        let found = counted(&[("api.test", "answered 401", &[]), ("web.test", "answered 401", &[])]);
        let named: Vec<_> = found.iter().map(|rejected| rejected.credentials(&granted)).collect();
        assert_eq!(named, [vec!["TOKEN"], vec![]]);
    }
}
