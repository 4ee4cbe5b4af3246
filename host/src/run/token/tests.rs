//! When the guard holds the token, and when the agent reads it.

use std::fs;

use super::*;
use crate::egress::effective_policy;
use crate::manifest::{Locations, Manifest};
use crate::trust::Trust;

/// Gives the token to the bottle of a manifest that says this of bottle and agent.
fn granted(bottle: &str, agent: &str, proxy: Proxy) -> (Agent, Granted) {
    let home = tempfile::tempdir().unwrap();
    let text = format!("bottles: {{ dev: {{ {bottle} }} }}\nagents: {{ a: {{ bottle: dev, {agent} }} }}\n");
    fs::write(home.path().join("claude-bottle.yaml"), text).unwrap();
    let trust = Trust::open(home.path().join("trust")).unwrap();
    let [home, own, cwd] = [home.path(); 3].map(std::path::Path::to_owned);
    let locations = Locations { home, own, cwd, above: 0, profiles: Default::default() };
    let manifest = Manifest::load(&locations, &trust).unwrap_or_else(|errors| panic!("{errors}"));
    let found = manifest.agent("a").unwrap();
    let token = VariableName::new(TOKEN).map(TokenSource::of_variable).unwrap();
    (found.agent.clone(), Granted::new(Some(&token), found.agent, found.bottle, proxy))
}

#[test]
fn the_guard_holds_it_without_a_word_of_the_manifest() {
    let (agent, granted) =
        granted("secrets: { NPM_TOKEN: '?', AAA: { from: '?', hosts: [a.test] } }", "", Proxy::Guard);
    assert!(granted.is_held() && granted.readable.is_none() && granted.note().is_none());
    let names: Vec<_> = granted.bottle.secrets.iter().map(|secret| secret.name.as_str()).collect();
    assert_eq!(names, ["AAA", "CLAUDE_CODE_OAUTH_TOKEN", "NPM_TOKEN"]);
    let secret = &granted.bottle.secrets[1];
    assert_eq!((secret.goes_to().as_str(), secret.only), ("api.anthropic.com (bearer)", true));
    assert_eq!(secret.origin.to_string(), TOKEN);
    // A running bottle that has it is compared with a manifest that gets it, whatever the environment of the one who asks.
    let policy = effective_policy(Some(&agent), &granted.bottle).unwrap();
    assert!(Granted::as_in(&policy, &agent, &granted.bottle).bottle.secrets.len() == 3);
    let exposed = granted.exposed("a reason".to_owned());
    assert_eq!(exposed.note().unwrap(), "the agent can read CLAUDE_CODE_OAUTH_TOKEN: a reason");
    assert!(!exposed.is_held() && exposed.bottle.secrets.len() == 2);
    assert!(Granted::as_in(&policy, &agent, &exposed.bottle).is_held());
    let other = effective_policy(Some(&agent), &exposed.bottle).unwrap();
    assert!(!Granted::as_in(&other, &agent, &exposed.bottle).is_held());
}

#[test]
fn what_is_in_the_way_of_that_is_said() {
    let check = |bottle: &str, proxy, expected: &str| {
        let (_, granted) = granted(bottle, "", proxy);
        assert!(!granted.is_held() && granted.bottle.secrets.is_empty());
        assert!(granted.note().unwrap().ends_with(expected), "{bottle}: {:?}", granted.note());
    };
    check("", Proxy::Pipelock, "CLAUDE_CODE_OAUTH_TOKEN: pipelock puts in no secret");
    check("egress: { proxy: pipelock }", Proxy::Pipelock, "pipelock puts in no secret");
    check("egress: { intercept: none }", Proxy::Guard, "`intercept: none` leaves that closed");
    check(
        "egress: { passthrough: ['*.anthropic.com'] }",
        Proxy::Guard,
        "`passthrough` has `*.anthropic.com`",
    );
}

#[test]
fn what_the_manifest_says_of_it_counts_and_its_other_credentials_pass() {
    let name = "CLAUDE_CODE_OAUTH_TOKEN";
    for (bottle, agent) in [
        (format!("env: {{ {name}: '?' }}"), ""),
        (format!("secrets: {{ {name}: '?' }}"), ""),
        (String::new(), "profile: codex"),
    ] {
        let (_, granted) = granted(&bottle, agent, Proxy::Guard);
        assert!(!granted.is_held() && granted.readable.is_none(), "{bottle}");
    }
    let only = |bottle: &str| granted(bottle, "", Proxy::Guard).1.bottle.secrets[0].only;
    assert!(only("env: { A: b }") && !only("env: { ANTHROPIC_API_KEY: '?' }"));
}

#[test]
fn https_is_looked_into_unless_the_manifest_or_something_in_the_way_says_otherwise() {
    let mode = |granted: &Granted| granted.bottle.egress.intercept.mode;
    let (agent, plain) = granted("", "", Proxy::Guard);
    assert!(plain.opens_unasked() && mode(&plain) == Intercept::All && plain.closed_note().is_none());
    let closed = plain.clone().closed("a reason".to_owned());
    assert!(!closed.opens_unasked() && mode(&closed) == Intercept::Needed);
    assert!(closed.closed_note().unwrap().ends_with("where nothing needs it: a reason"));
    // A bottle that runs is compared with what it has.
    let policy = |granted: &Granted| effective_policy(Some(&agent), &granted.bottle).unwrap();
    assert_eq!(mode(&Granted::as_in(&policy(&plain), &agent, &plain.bottle)), Intercept::All);
    assert_eq!(mode(&Granted::as_in(&policy(&closed), &agent, &plain.bottle)), Intercept::Needed);
    for (bottle, proxy, expected) in [
        ("", Proxy::Pipelock, Intercept::Needed),
        ("egress: { proxy: pipelock }", Proxy::Pipelock, Intercept::Needed),
        ("egress: { intercept: all }", Proxy::Guard, Intercept::All),
        ("egress: { intercept: needed }", Proxy::Guard, Intercept::Needed),
        ("egress: { intercept: none }", Proxy::Guard, Intercept::None),
    ] {
        let (_, granted) = granted(bottle, "", proxy);
        assert!(!granted.opens_unasked() && mode(&granted) == expected, "{bottle}");
        // What the manifest asks for is not taken back.
        assert_eq!(mode(&granted.closed("a reason".to_owned())), expected, "{bottle}");
    }
}

#[test]
fn the_hosts_of_models_are_those_of_the_agents_own_program() {
    let hosts = |bottle: &str, agent: &str| {
        let (agent, granted) = granted(bottle, agent, Proxy::Guard);
        let hosts = crate::egress::held::model_hosts(&agent.profile, &granted.bottle);
        hosts.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert!(hosts("", "").contains(&"api.anthropic.com".to_owned()));
    let moved = hosts("env: { OPENAI_BASE_URL: 'https://models.test:8443/v1' }", "profile: codex");
    assert_eq!(moved, ["api.anthropic.com", "api.openai.com", "models.test"]);
    assert_eq!(hosts("env: { ANTHROPIC_BASE_URL: 'http://gateway.test' }", "profile: shell").len(), 2);
}
