//! Rules that were given while a bottle runs: its agent may give them back.

use crate::policy::Policy;
use crate::rule::{Effect, Rule};

/// Where a rule comes from that was added while the bottle runs.
pub const WHILE_IT_RUNS: &str = "claude-bottle policy, while it runs";

impl Rule {
    /// Returns `true` if the rule allows something, and was added while the bottle runs.
    pub fn is_given(&self) -> bool {
        self.effect() == Effect::Allow && self.origin() == WHILE_IT_RUNS
    }
}

impl Policy {
    /// Returns the policy without what was given for `HOST[:PORT]`, and those rules; `None` when nothing was.
    ///
    /// Without a port that is every rule that was given for the host, with one the rule with this port alone.
    pub fn without_given(&self, place: &str) -> Option<(Self, Vec<Rule>)> {
        let named = Rule::parse(place, "").ok().filter(|rule| rule.effect() == Effect::Allow)?;
        let is_meant = |rule: &Rule| {
            let is_port = named.port().is_none_or(|port| rule.port() == Some(port));
            rule.is_given() && rule.pattern() == named.pattern() && is_port
        };
        let (given, rules): (Vec<_>, Vec<_>) = self.rules.iter().cloned().partition(is_meant);
        (!given.is_empty()).then(|| (Self { rules, ..self.clone() }, given))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_for_a_host_is_given_back_and_nothing_else() {
        let given = |text: &str| Rule::parse(text, WHILE_IT_RUNS).unwrap();
        let manifest = |text: &str| Rule::parse(text, "manifest").unwrap();
        let rules = vec![
            manifest("a.test"),
            manifest("m.test"),
            given("a.test:22"),
            given("b.test"),
            given("b.test:8443"),
            given("*.c.test").ending(60),
            given("deny d.test"),
        ];
        let policy = Policy { rules, ..Policy::default() };
        let check = |place: &str, expected: &[&str]| {
            let back = policy.without_given(place);
            let texts: Vec<_> =
                back.iter().flat_map(|(_, given)| given.iter().map(ToString::to_string)).collect();
            assert_eq!(texts, expected, "{place}");
            if let Some((left, given)) = back {
                assert_eq!(left.rules.len() + given.len(), policy.rules.len());
                assert!(given.iter().all(|rule| !left.rules.contains(rule)));
            }
        };
        check("a.test", &["a.test:22"]);
        check("B.test", &["b.test", "b.test:8443"]);
        check("b.test:8443", &["b.test:8443"]);
        check("*.c.test", &["*.c.test"]);
        for nothing in ["b.test:443", "x.c.test", "m.test", "d.test", "deny d.test", "", "*", "a b"] {
            check(nothing, &[]);
        }
    }
}
