//! Rules with methods and paths: the text goes there and back, and a request that a rule denies is denied in any case.

#![no_main]

use claude_bottle_egress_policy::{Asked, Policy, Rule, Scheme, Url};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str, &str)| {
    let (text, url, method) = input;
    let Ok(rule) = Rule::parse(text, "fuzz") else { return };
    assert_eq!(Rule::parse(&rule.to_string(), "fuzz").as_ref(), Ok(&rule));
    let Ok(url) = Url::parse(url) else { return };
    let policy = Policy { rules: vec![rule], ..Policy::default() };
    let decide = |method: &str, target: &str| {
        policy.decide_request(&url.host, url.port, Scheme::Https, Asked { method, target })
    };
    let decision = decide(method, &url.target);
    assert!(decision.is_allowed() || decision.rule.is_some() || decision.code.as_str() != "bad_path");
    // A rule alone never lets more through inside a tunnel than its place.
    if decision.is_allowed() {
        assert!(policy.decide(&url.host, url.port, Scheme::Https).is_allowed());
    }
});
