//! Rules that end by themselves: which have, when the next one does, and how that is said.

use crate::policy::Policy;
use crate::rule::Rule;
use crate::time::date_time;

impl Policy {
    /// Returns the policy without the rules that have ended; `None` when none has.
    pub fn without_ended(&self, now: u64) -> Option<Self> {
        let has_ended = |rule: &Rule| rule.until().is_some_and(|until| until <= now);
        if !self.rules.iter().any(has_ended) {
            return None;
        }
        let mut left = self.clone();
        left.rules.retain(|rule| !has_ended(rule));
        Some(left)
    }

    /// Returns when the next rule ends by itself, in seconds since 1970-01-01 UTC.
    pub fn next_end(&self) -> Option<u64> {
        self.rules.iter().filter_map(Rule::until).min()
    }
}

impl Rule {
    /// Returns the rule's text, and when it ends by itself.
    pub fn with_end(&self) -> String {
        match self.until() {
            None => self.to_string(),
            Some(until) => format!("{self} until {}Z", date_time(until)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_ends_at_its_second_and_the_others_stay() {
        let rule = |text: &str| Rule::parse(text, "here").unwrap();
        let rules = vec![rule("a.test"), rule("b.test").ending(60), rule("deny c.test").ending(90)];
        let policy = Policy { rules, ..Policy::default() };
        assert_eq!(policy.next_end(), Some(60));
        assert_eq!(policy.without_ended(59), None);
        let texts = |now| {
            let left = policy.without_ended(now).unwrap();
            left.rules.iter().map(Rule::with_end).collect::<Vec<_>>()
        };
        assert_eq!(texts(60), ["a.test", "deny c.test until 1970-01-01T00:01:30Z"]);
        assert_eq!(texts(90), ["a.test"]);
        // The end is part of the document, and its lack says nothing there.
        let text = serde_json::to_string(&policy.rules).unwrap();
        assert!(
            text.starts_with(
                r#"[{"rule":"a.test","origin":"here"},{"rule":"b.test","origin":"here","until":60}"#
            ),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Vec<Rule>>(&text).unwrap(), policy.rules);
    }
}
