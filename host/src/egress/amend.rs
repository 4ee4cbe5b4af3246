//! Rules that are added to the policy of a bottle while it runs, and what they can and cannot do.

use claude_bottle_egress_policy::{Effect, Policy, Rule, RuleError};

/// Where a rule comes from that was added while the bottle runs.
pub use claude_bottle_egress_policy::WHILE_IT_RUNS as ORIGIN;

/// Why a policy is not changed.
#[derive(Debug, thiserror::Error)]
pub enum AmendError {
    /// What was said is not a host that a rule can name.
    #[error("`{}` is not a HOST[:PORT]", text.escape_default())]
    NotAHost {
        /// What was said.
        text: String,
        /// Why not.
        #[source]
        source: RuleError,
    },
    /// A rule that denies wins over all that allow.
    #[error("`{wanted}` stays refused: the rule `{rule}` ({origin}) wins over every rule that allows")]
    Denied {
        /// What was to be allowed.
        wanted: String,
        /// The rule that denies it.
        rule: String,
        /// Where that was written.
        origin: String,
    },
}

/// Reads the rule for a host, or for every name below one.
///
/// # Errors
/// Fails for anything else.
pub fn rule(text: &str, effect: Effect) -> Result<Rule, AmendError> {
    let whole = match effect {
        Effect::Allow => text.to_owned(),
        Effect::Deny => format!("deny {text}"),
    };
    let parsed = Rule::parse(&whole, ORIGIN);
    let rule = parsed.map_err(|source| AmendError::NotAHost { text: text.to_owned(), source })?;
    if rule.effect() == effect { Ok(rule) } else { not_a_host(text) }
}

fn not_a_host(text: &str) -> Result<Rule, AmendError> {
    Err(AmendError::NotAHost { text: text.to_owned(), source: RuleError::Blank })
}

/// Returns the policy with these rules. Each takes the place of the opposite one that was added before it.
///
/// # Errors
/// Fails when a rule would allow nothing, since another denies all of it.
pub fn amend(policy: &Policy, rules: &[Rule]) -> Result<Policy, AmendError> {
    let mut policy = policy.clone();
    for rule in rules {
        let is_added = |other: &Rule| other.origin() == ORIGIN;
        let is_same = |other: &Rule| other.to_string() == rule.to_string();
        // Where a rule that lasts would be left, one that ends must not make room for it.
        let is_lasting = rule.until().is_some() && policy.rules.iter().any(|o| is_same(o) && !is_added(o));
        let is_opposite = |other: &Rule| {
            !is_lasting && is_added(other) && other.effect() != rule.effect() && about(other) == about(rule)
        };
        // One that was added with an end gets the new one, or none.
        let is_replaced = |other: &Rule| is_same(other) && is_added(other) && other.until().is_some();
        policy.rules.retain(|other| !is_opposite(other) && !is_replaced(other));
        if let Some(denying) = denied(&policy, rule) {
            let (rule, wanted, origin) = (denying.to_string(), rule.to_string(), denying.origin().to_owned());
            return Err(AmendError::Denied { wanted, rule, origin });
        }
        if !policy.rules.iter().any(is_same) {
            policy.rules.push(rule.clone());
        }
    }
    Ok(policy)
}

/// Returns what a rule is about, whatever it does.
fn about(rule: &Rule) -> String {
    let text = rule.to_string();
    text.strip_prefix("deny ").map_or(text.clone(), str::to_owned)
}

/// Returns a rule that denies all that `wanted` would allow.
fn denied<'p>(policy: &'p Policy, wanted: &Rule) -> Option<&'p Rule> {
    if wanted.effect() == Effect::Deny {
        return None;
    }
    let about = |rule: &&Rule| {
        rule.effect() == Effect::Deny && !rule.is_narrow() && rule.pattern().covers(wanted.pattern())
    };
    let denying = |port| policy.rules.iter().filter(about).find(|rule| rule.port().is_none_or(|p| p == port));
    let found: Vec<_> = wanted.ports().into_iter().map(denying).collect();
    if found.iter().all(Option::is_some) { found.first().copied().flatten() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(rules: &[&str]) -> Policy {
        let rules = rules.iter().map(|text| Rule::parse(text, "manifest").unwrap()).collect();
        Policy { rules, ..Policy::default() }
    }

    /// Applies changes one after the other: `+host` and `-host`.
    fn check(before: &[&str], changes: &[&str], after: &[&str]) {
        let mut changed = policy(before);
        for change in changes {
            let effect = if change.starts_with('+') { Effect::Allow } else { Effect::Deny };
            changed = amend(&changed, &[rule(&change[1..], effect).unwrap()]).unwrap();
        }
        let texts: Vec<_> = changed.rules.iter().map(ToString::to_string).collect();
        assert_eq!(texts, after, "{before:?} {changes:?}");
    }

    #[test]
    fn a_change_takes_the_place_of_the_opposite_one_and_of_no_rule_of_the_manifest() {
        check(&["a.test"], &["+b.test"], &["a.test", "b.test"]);
        check(&["a.test"], &["+a.test", "+A.test"], &["a.test"]);
        check(&["a.test"], &["-a.test"], &["a.test", "deny a.test"]);
        check(&["a.test"], &["-a.test", "+a.test"], &["a.test"]);
        check(&[], &["+b.test:8443", "-b.test:8443"], &["deny b.test:8443"]);
        check(&[], &["+b.test", "-b.test:80"], &["b.test", "deny b.test:80"]);
        check(&[], &["+*.b.test", "-c.b.test", "+c.b.test"], &["*.b.test", "c.b.test"]);
    }

    #[test]
    fn an_end_is_replaced_by_another_and_takes_nothing_from_what_lasts() {
        let timed = |text: &str, until| rule(text, Effect::Allow).unwrap().ending(until);
        let ends = |policy: &Policy| policy.rules.iter().map(Rule::until).collect::<Vec<_>>();
        let first = amend(&policy(&["a.test"]), &[timed("b.test", 10)]).unwrap();
        assert_eq!(ends(&first), [None, Some(10)]);
        assert_eq!(ends(&amend(&first, &[timed("b.test", 20)]).unwrap()), [None, Some(20)]);
        assert_eq!(ends(&amend(&first, &[rule("b.test", Effect::Allow).unwrap()]).unwrap()), [None, None]);
        // What is allowed for good stays so.
        assert_eq!(amend(&first, &[timed("a.test", 20)]).unwrap(), first);
        let lasting = amend(&policy(&[]), &[rule("b.test", Effect::Allow).unwrap()]).unwrap();
        assert_eq!(amend(&lasting, &[timed("b.test", 20)]).unwrap(), lasting);
        // Behind a denial there is a rule that would not end.
        let denied = amend(&policy(&["a.test"]), &[rule("a.test", Effect::Deny).unwrap()]).unwrap();
        assert!(matches!(amend(&denied, &[timed("a.test", 20)]), Err(AmendError::Denied { .. })));
        let denied = amend(&policy(&[]), &[rule("a.test", Effect::Deny).unwrap()]).unwrap();
        assert_eq!(ends(&amend(&denied, &[timed("a.test", 20)]).unwrap()), [Some(20)]);
    }

    #[test]
    fn what_a_rule_denies_is_not_allowed_by_another() {
        let refused = |before: &[&str], host: &str, expected: Option<&str>| {
            let wanted = rule(host, Effect::Allow).unwrap();
            let denying = match amend(&policy(before), &[wanted]) {
                Err(AmendError::Denied { rule, .. }) => Some(rule),
                other => other.map(|_| None).unwrap(),
            };
            assert_eq!(denying.as_deref(), expected, "{before:?} {host}");
        };
        refused(&["deny a.test"], "a.test", Some("deny a.test"));
        refused(&["deny *.test"], "a.test:22", Some("deny *.test"));
        refused(&["deny *.a.test"], "*.a.test", Some("deny *.a.test"));
        refused(&["deny *.test"], "*.a.test", Some("deny *.test"));
        refused(&["deny a.test:80", "deny a.test:443"], "a.test", Some("deny a.test:80"));
        // Something is left in each of these.
        refused(&["deny a.test:80"], "a.test", None);
        refused(&["deny b.a.test"], "*.a.test", None);
        refused(&["deny a.test"], "*.a.test", None);
        refused(&["deny *.a.test"], "a.test", None);
    }

    #[test]
    fn only_a_host_is_taken() {
        for text in ["", "*", "https://a.test/", "deny a.test", "a test", "a.test:0"] {
            for effect in [Effect::Allow, Effect::Deny] {
                assert!(rule(text, effect).is_err(), "{text:?} {effect:?}");
            }
        }
    }
}
