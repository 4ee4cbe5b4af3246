//! Presets: hosts by one name, told as such wherever hosts are told.

use insta::assert_snapshot;

use crate::support::{Home, assert_code, assert_says, json, stderr};

const MANIFEST: &str = "\
bottles:
  dev:
    egress:
      presets: [rust, github]
      allowlist: [example.org, deny gist.github.com]
agents:
  hello:
    bottle: dev
    command: [echo, hello]
";

#[test]
fn the_plan_says_which_hosts_a_preset_is() {
    let home = Home::with(MANIFEST);
    let output = home.call(&["start", "hello", "--dry-run"]);
    assert_code(&output, 0);
    let expected = "(example.org, preset rust: index.crates.io static.crates.io static.rust-lang.org, \
                    preset github: github.com api.github.com ";
    assert_says(&stderr(&output), &[expected, "7 defaults)"]);
    let plan = json(&home.call(&["start", "hello", "--dry-run", "--format", "json"]));
    let presets = &plan["egress"]["presets"];
    assert_eq!((&presets[0]["name"], &presets[1]["name"]), (&"rust".into(), &"github".into()));
    assert_eq!(presets[0]["hosts"][0], "index.crates.io");
    let hosts = plan["egress"]["hosts"].as_array().unwrap();
    assert!(hosts.contains(&"static.crates.io".into()) && hosts.contains(&"example.org".into()), "{hosts:?}");
    // A plan without a preset is as it was.
    let plain = json(&Home::new().call(&["start", "hello", "--dry-run", "--format", "json"]));
    assert_eq!(plain["egress"].get("presets"), None);
}

#[test]
fn an_answer_names_the_preset_and_a_denial_wins_over_it() {
    let home = Home::with(MANIFEST);
    assert_snapshot!(home.shown(&["policy", "check", "hello", "static.crates.io"]), @"
    exit 0
    --- stdout
    allowed: `static.crates.io:443` is allowed
    rule: static.crates.io (preset rust, bottle dev, ~/claude-bottle.yaml:4)
    https: opened
    ");
    let denied = home.call(&["policy", "check", "hello", "gist.github.com"]);
    assert_code(&denied, 1);
    let info = json(&home.call(&["info", "hello", "--format", "json"]));
    let rules = info["egress"]["rules"].as_array().unwrap();
    let rule = rules.iter().find(|rule| rule["rule"] == "api.github.com").unwrap();
    assert_eq!(rule["origin"], "preset github, bottle dev, ~/claude-bottle.yaml:4");
}

#[test]
fn a_preset_that_is_not_there_is_told_with_its_place_and_not_saved() {
    let home = Home::with(&MANIFEST.replace("rust", "cargo"));
    assert_snapshot!(home.shown(&["list"]), @"
    exit 1
    --- stderr
    error: the manifest has a problem

    ~/claude-bottle.yaml:4:17: `cargo` is not a valid preset [bad-value]
        4 |       presets: [cargo, github]
          |                 ^^^^^
        = did you mean `rust`?
        = presets: node, python, conda, rust, go, java, dotnet, ruby, php, github, debian, ubuntu, alpine
    ");
    let home = Home::with(MANIFEST);
    let edited = home.call_with(&["edit"], &[("EDITOR", "sed -i s/rust/kubernetes/")]);
    assert_code(&edited, 1);
    assert_says(&stderr(&edited), &["`kubernetes` is not a valid preset"]);
    assert_code(&home.call(&["list"]), 0);
}
