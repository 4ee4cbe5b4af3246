//! What a plan says of HTTPS: whose the guard looks into, and whose it does not.

use std::collections::BTreeSet;

use claude_bottle_egress_policy::{Effect, HostPattern, Intercept, Policy};
use serde::Serialize;

/// Whose HTTPS the guard looks into.
#[derive(Debug, Clone, Serialize)]
pub struct InterceptView {
    mode: Intercept,
    /// Allowed hosts whose HTTPS it looks into, some of those that a wildcard names at least.
    opened: Vec<String>,
    /// Hosts whose HTTPS it never looks into.
    passthrough: Vec<String>,
}

impl InterceptView {
    /// Says it for a policy; nothing where it looks into no host's.
    pub fn new(policy: &Policy) -> Option<Self> {
        let allowing = policy.rules.iter().filter(|rule| rule.effect() == Effect::Allow);
        // What is said is what the guard asks.
        let opened = allowing.map(|rule| rule.pattern()).filter(|pattern| policy.opens_some(pattern));
        let opened: BTreeSet<_> = opened.map(HostPattern::to_string).collect();
        (policy.intercept != Intercept::None).then(|| Self {
            mode: policy.intercept,
            opened: opened.into_iter().collect(),
            passthrough: policy.passthrough.iter().map(ToString::to_string).collect(),
        })
    }

    /// Returns the plan's row.
    pub fn text(&self) -> String {
        let whose = match (self.mode, self.opened.as_slice()) {
            (Intercept::All, _) => "of every host".to_owned(),
            (_, []) => "of no host that is allowed".to_owned(),
            (_, hosts) => format!("of {}", hosts.join(", ")),
        };
        let closed = match self.passthrough.as_slice() {
            [] => String::new(),
            hosts => format!("; unopened: {}", hosts.join(", ")),
        };
        format!("opened and inspected under this bottle's own authority: that {whose}{closed}")
    }
}

#[cfg(test)]
mod tests {
    use claude_bottle_egress_policy::Rule;

    use super::*;

    #[test]
    fn it_names_what_the_guard_opens() {
        let check = |intercept, passthrough: &[&str], expected: Option<&str>| {
            let rules = ["a.example", "b.example", "deny POST b.example/x", "deny c.example/x"];
            let policy = Policy {
                rules: rules.iter().map(|rule| Rule::parse(rule, "").unwrap()).collect(),
                passthrough: passthrough.iter().map(|host| HostPattern::parse(host).unwrap()).collect(),
                intercept,
                ..Policy::default()
            };
            let text = InterceptView::new(&policy).map(|view| view.text());
            let expected = expected
                .map(|rest| format!("opened and inspected under this bottle's own authority: {rest}"));
            assert_eq!(text, expected);
        };
        check(Intercept::None, &[], None);
        check(Intercept::Needed, &[], Some("that of b.example"));
        check(
            Intercept::Needed,
            &["b.example"],
            Some("that of no host that is allowed; unopened: b.example"),
        );
        check(Intercept::All, &["a.example"], Some("that of every host; unopened: a.example"));
    }
}
