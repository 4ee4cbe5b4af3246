//! Paths: what has one reading has the same with every byte escaped, and no pattern tells the two apart.

#![no_main]

use claude_bottle_egress_policy::{Asked, PathPattern, Policy, RequestPath, Rule, Scheme};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str)| {
    let (pattern, target) = input;
    let pattern = PathPattern::parse(pattern).ok();
    if let Some(pattern) = &pattern {
        assert_eq!(PathPattern::parse(&pattern.to_string()).as_ref(), Ok(pattern));
    }
    let Ok(path) = RequestPath::read(target) else { return };
    let raw = target.split('?').next().unwrap_or_default();
    assert!(!raw.contains("//") && !raw.contains('\\') && raw.starts_with('/'));
    let escaped = escape(raw);
    assert_eq!(RequestPath::read(&escaped), Ok(path));
    let Some(pattern) = pattern else { return };
    for effect in ["", "deny "] {
        let rule = Rule::parse(&format!("{effect}a.example{pattern}"), "").expect("a pattern makes a rule");
        let policy = Policy { rules: vec![rule], ..Policy::default() };
        let host = "a.example".parse().expect("a host");
        let decide = |target| policy.decide_request(&host, 443, Scheme::Https, Asked { method: "GET", target });
        assert_eq!(decide(raw), decide(&escaped));
    }
});

/// Escapes every byte but slashes; escapes that are there already stay.
fn escape(path: &str) -> String {
    let mut text = String::new();
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'/' => text.push('/'),
            b'%' => {
                text.push('%');
                text.extend(bytes.by_ref().take(2).map(char::from));
            }
            byte => text.push_str(&format!("%{byte:02x}")),
        }
    }
    text
}
