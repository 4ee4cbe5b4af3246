//! Which tunnels are opened, so that the requests inside are seen and decided one by one.

use serde::{Deserialize, Serialize};

use crate::decision::Scheme;
use crate::host::HostOrIp;
use crate::policy::Policy;
use crate::rule::{HTTPS_PORT, HostPattern, Rule};

/// Whose tunnels are opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Intercept {
    /// No host's.
    #[default]
    None,
    /// Those of hosts that a rule with methods or a path is about, or that a secret is put in for.
    Needed,
    /// Every host's.
    All,
}

impl Intercept {
    /// Every way, with its name in the configuration.
    pub const ALL: [(&'static str, Self); 3] =
        [("none", Self::None), ("needed", Self::Needed), ("all", Self::All)];

    pub(crate) fn is_none(&self) -> bool {
        *self == Self::None
    }
}

impl Policy {
    /// Returns a rule that can be kept only where tunnels are opened.
    pub fn needing(&self) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.is_about_tls(|port| port == HTTPS_PORT))
    }

    /// Returns `true` if tunnels to some host that this names are opened.
    pub fn opens_some(&self, pattern: &HostPattern) -> bool {
        let is_about = |rule: &Rule| may_need(rule) && rule.pattern().overlaps(pattern);
        !self.passthrough.iter().any(|other| other.covers(pattern))
            && self.opens_if(|| self.rules.iter().any(is_about) || self.holds_for_some(pattern))
    }

    /// Returns `true` if tunnels to this host are opened, on a port where nothing but TLS goes.
    pub fn opens(&self, host: &HostOrIp) -> bool {
        let is_about = |rule: &Rule| may_need(rule) && rule.matches_host(host);
        !self.passthrough.iter().any(|pattern| pattern.matches(host))
            && self.opens_if(|| self.rules.iter().any(is_about) || self.holds_for(host))
    }

    /// Returns whether what nothing passes unopened is opened, where something may need it.
    fn opens_if(&self, is_needed: impl FnOnce() -> bool) -> bool {
        match self.intercept {
            Intercept::None => false,
            Intercept::Needed => is_needed(),
            Intercept::All => true,
        }
    }

    /// Returns how a tunnel is decided: by its place alone, or as requests in an opened one. `is_tls` says that nothing but TLS
    /// goes at its port.
    pub fn tunnel(&self, host: &HostOrIp, is_tls: bool) -> Scheme {
        if is_tls && self.opens(host) { Scheme::Https } else { Scheme::Connect }
    }

    /// Returns a rule about requests in tunnels that are not opened, so that nothing could enforce it.
    pub fn unseen(&self, is_tls: impl Fn(u16) -> bool) -> Option<&Rule> {
        let is_unopened = |rule: &Rule| {
            self.intercept.is_none() || self.passthrough.iter().any(|p| p.overlaps(rule.pattern()))
        };
        self.rules.iter().find(|rule| rule.is_about_tls(&is_tls) && is_unopened(rule))
    }
}

/// Returns `true` if a rule is about requests, and not of plain HTTP alone.
fn may_need(rule: &Rule) -> bool {
    rule.is_about_tls(|port| port != 80)
}

impl HostPattern {
    /// Returns `true` if every host that the other one means is meant.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (pattern, Self::Exact(host)) => pattern.matches(host),
            (Self::Below(one), Self::Below(two)) => one == two || two.is_below(one),
            (Self::Exact(_), Self::Below(_)) => false,
        }
    }

    /// Returns `true` if a host could be meant by both.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(host), pattern) | (pattern, Self::Exact(host)) => pattern.matches(host),
            (Self::Below(one), Self::Below(two)) => one == two || one.is_below(two) || two.is_below(one),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(intercept: Intercept, rules: &[&str], passthrough: &[&str]) -> Policy {
        Policy {
            rules: rules.iter().map(|text| Rule::parse(text, "test").unwrap()).collect(),
            intercept,
            passthrough: passthrough.iter().map(|text| HostPattern::parse(text).unwrap()).collect(),
            ..Policy::default()
        }
    }

    #[test]
    fn a_host_is_opened_by_policy() {
        use Intercept::{All, Needed, None};
        let rules = ["a.example", "b.example", "deny POST *.b.example/x", "GET c.example:80/x"];
        let cases = [
            (None, "x.b.example", false),
            (Needed, "a.example", false),
            (Needed, "b.example", false),
            (Needed, "x.b.example", true),
            (Needed, "c.example", false),
            (Needed, "pin.b.example", false),
            (All, "a.example", true),
            (All, "10.0.0.1", true),
            (All, "pin.b.example", false),
        ];
        for (intercept, host, expected) in cases {
            let policy = policy(intercept, &rules, &["pin.b.example"]);
            let host = HostOrIp::parse(host).unwrap();
            assert_eq!(policy.opens(&host), expected, "{intercept:?} {host}");
            let scheme = if expected { Scheme::Https } else { Scheme::Connect };
            assert_eq!(policy.tunnel(&host, true), scheme);
            assert_eq!(policy.tunnel(&host, false), Scheme::Connect);
        }
    }

    #[test]
    fn some_hosts_of_a_pattern_are_opened_where_one_of_them_is() {
        use Intercept::{All, Needed, None};
        let rules = ["*.a.example", "b.example", "deny POST x.a.example/y", "*.c.example"];
        for (intercept, pattern, expected) in [
            (None, "x.a.example", false),
            (Needed, "*.a.example", true),
            (Needed, "x.a.example", true),
            (Needed, "z.a.example", false),
            (Needed, "b.example", false),
            (All, "b.example", true),
            (All, "*.c.example", false),
            (All, "*.x.c.example", false),
            (All, "c.example", true),
        ] {
            let policy = policy(intercept, &rules, &["*.c.example"]);
            let pattern = HostPattern::parse(pattern).unwrap();
            assert_eq!(policy.opens_some(&pattern), expected, "{intercept:?} {pattern}");
        }
        assert_eq!(policy(None, &rules, &[]).needing().unwrap().to_string(), rules[2]);
        let seen = ["a.example", "GET b.example:80/x", "GET c.example:8080"];
        assert_eq!(policy(None, &seen, &[]).needing(), Option::None);
    }

    #[test]
    fn a_pattern_covers_what_is_below_it() {
        for (outer, inner, expected) in [
            ("a.example", "a.example", true),
            ("a.example", "*.a.example", false),
            ("*.a.example", "a.example", false),
            ("*.a.example", "x.a.example", true),
            ("*.a.example", "*.x.a.example", true),
            ("*.x.a.example", "*.a.example", false),
            ("*.example.org", "10.0.0.1", false),
        ] {
            let pattern = |text| HostPattern::parse(text).unwrap();
            assert_eq!(pattern(outer).covers(&pattern(inner)), expected, "{outer} {inner}");
        }
    }

    #[test]
    fn a_rule_that_nothing_could_enforce_is_told() {
        use Intercept::{All, Needed, None};
        let check = |intercept, rules: &[&str], passthrough: &[&str], expected: Option<&str>| {
            let policy = policy(intercept, rules, passthrough);
            let unseen = policy.unseen(|port| port == 443).map(ToString::to_string);
            assert_eq!(unseen.as_deref(), expected, "{intercept:?} {rules:?} {passthrough:?}");
        };
        check(None, &["a.example", "deny b.example"], &[], Option::None);
        check(None, &["GET a.example"], &[], Some("GET a.example"));
        check(None, &["a.example/x"], &[], Some("a.example/x"));
        check(None, &["deny a.example:443/x"], &[], Some("deny a.example:443/x"));
        // Plain HTTP is seen, and a tunnel to another port is not let through by such a rule, or refused by it.
        check(
            None,
            &["GET a.example:80/x", "a.example:8080/x", "deny POST a.example:8080"],
            &[],
            Option::None,
        );
        check(Needed, &["GET a.example"], &[], Option::None);
        check(Needed, &["GET a.example"], &["a.example"], Some("GET a.example"));
        check(All, &["GET *.a.example"], &["x.a.example"], Some("GET *.a.example"));
        check(All, &["GET x.a.example"], &["*.a.example"], Some("GET x.a.example"));
        check(All, &["GET *.x.example"], &["*.y.x.example"], Some("GET *.x.example"));
        check(All, &["GET *.x.example"], &["x.example", "*.y.example"], Option::None);
    }
}
