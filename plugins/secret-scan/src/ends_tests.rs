//! Every rule in every place of a request where a credential can stand.

use super::super::rules::builtin;
use super::super::sample::{Random, credential};
use super::*;

/// Places of a URL, a header and a body, `{}` being the credential.
const PLACES: &[&str] = &[
    "{}",
    "/?token={}&x=1",
    "/?x=1&token={}",
    "/?token={}#part",
    "/{}/x",
    "/x/{}?y=1",
    "/x;v={}/y",
    "a=1&b={}&c=2",
    "a={}%26b",
    "one, {}, two",
    "one,{},two",
    "Bearer {}, Basic",
    "k={}; Path=/",
    "<{}>",
    "[{}]",
    "({})",
    "{\"key\":\"{}\",\"x\":1}",
    "{key:{}}",
    "'{}'",
    "`{}`",
    "say {}.",
    "is it {}? no",
    "yes {}! no",
    "{}:443",
    "http://{}@a.example/",
    "http://u:{}@a.example/",
    "a|{}|b",
    "a {}\tb",
    "{}\r\nnext",
    "{}\\nnext",
    "\\\"{}\\\"",
    "*{}*",
    "${}$",
    "~{}~",
    "{}=",
    "{}\u{201d}",
];

#[test]
fn every_rule_fits_in_every_place() {
    let rules = builtin().unwrap();
    let mut random = Random(0x5eed_0001_2345_6789);
    let mut missed = Vec::new();
    for (id, _, keyword) in rules.patterns() {
        for _ in 0..2 {
            let value = credential(id, &mut random);
            for place in PLACES {
                let text = format!("{keyword} {}", place.replace("{}", &value));
                if rules.find_in(text.as_bytes(), |_| true).is_none() {
                    missed.push(format!("{id}: {text}"));
                }
            }
        }
    }
    assert!(missed.is_empty(), "{} missed:\n{}", missed.len(), missed.join("\n"));
}

/// A longer value of the same letters is another value.
#[test]
fn a_value_that_goes_on_does_not_fit() {
    let rules = builtin().unwrap();
    let mut random = Random(0x5eed_0002_2345_6789);
    for id in ["npm-access-token", "digitalocean-pat", "adobe-client-id", "aws-access-token"] {
        let value = credential(id, &mut random);
        assert_eq!(rules.find_in(format!("/?token={value}7f&x=1").as_bytes(), |_| true), None, "{value}");
    }
    let value = credential("adobe-client-id", &mut random);
    assert_eq!(rules.find_in(format!("/?{value}-1&x=1").as_bytes(), |_| true), None, "{value}");
}

/// What the odd parts stand for is in the data, or they would change nothing.
#[test]
fn the_odd_parts_are_in_the_data() {
    let rules = builtin().unwrap();
    for (source, _) in ODD.iter().chain(&[(SOURCE_END, "")]) {
        assert!(rules.patterns().any(|(_, pattern, _)| pattern.contains(source)), "{source}");
    }
    for (id, pattern, _) in rules.patterns() {
        let here = for_requests(pattern);
        assert!(!here.contains(SOURCE_END), "{id} ends as in a file: {here}");
    }
}
