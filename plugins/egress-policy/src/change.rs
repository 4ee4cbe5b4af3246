//! What one policy has that another has not, as a sentence for people.

use std::collections::BTreeSet;

use crate::policy::Policy;
use crate::rule::Rule;

/// How many rules a sentence names of each kind.
const NAMED: usize = 8;

impl Policy {
    /// Says how `next` differs from this policy; `None` when it allows and refuses the same by the same rules.
    pub fn change_to(&self, next: &Self) -> Option<String> {
        let rules = |policy: &Self| policy.rules.iter().map(Rule::with_end).collect::<BTreeSet<_>>();
        let (before, after) = (rules(self), rules(next));
        let mut parts = Vec::new();
        parts.extend(named("added", after.difference(&before)));
        parts.extend(named("removed", before.difference(&after)));
        let others = [
            (self.hosts != next.hosts, "static addresses changed"),
            (self.private != next.private, "private grants changed"),
            (self.ssh != next.ssh, "servers of SSH changed"),
            (self.intercept != next.intercept, "other tunnels are opened"),
            (self.secrets != next.secrets, "secrets that are put in changed"),
            (self.passthrough != next.passthrough, "hosts whose tunnels stay closed changed"),
        ];
        parts.extend(others.into_iter().filter(|(is_other, _)| *is_other).map(|(_, words)| words.to_owned()));
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

fn named<'a>(word: &str, rules: impl Iterator<Item = &'a String>) -> Option<String> {
    let rules: Vec<String> = rules.map(|rule| format!("`{rule}`")).collect();
    let more = rules.len().saturating_sub(NAMED);
    let text = rules[..rules.len() - more].join(", ");
    match (rules.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(format!("{word} {text}")),
        (false, more) => Some(format!("{word} {text} and {more} more")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(rules: &[&str]) -> Policy {
        let rules = rules.iter().map(|text| Rule::parse(text, "here").unwrap()).collect();
        Policy { rules, ..Policy::default() }
    }

    #[test]
    fn a_change_names_its_rules_and_no_more_than_some() {
        let check = |before: &[&str], after: &[&str], expected: Option<&str>| {
            assert_eq!(policy(before).change_to(&policy(after)).as_deref(), expected);
        };
        check(&["a.test"], &["a.test"], None);
        check(&["a.test", "b.test"], &["b.test", "a.test"], None);
        check(
            &["a.test"],
            &["b.test", "deny c.test"],
            Some("added `b.test`, `deny c.test`; removed `a.test`"),
        );
        let many: Vec<String> = (0..10).map(|n| format!("h{n}.test")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let text = policy(&[]).change_to(&policy(&many)).unwrap();
        assert!(text.starts_with("added `h0.test`, ") && text.ends_with("`h7.test` and 2 more"), "{text}");
        let ssh = Policy {
            ssh: vec![crate::SshServer { host: crate::HostOrIp::parse("a.test").unwrap(), port: 443 }],
            ..policy(&["a.test"])
        };
        assert_eq!(policy(&["a.test"]).change_to(&ssh).as_deref(), Some("servers of SSH changed"));
    }
}
