//! Rules that are put into the text of a manifest, layout by layout.

use super::*;

fn add(old: &str, format: Format, rules: &[&str]) -> Result<String, WriteError> {
    let rules: Vec<_> = rules.iter().map(|rule| (*rule).to_owned()).collect();
    add_rules(old, format, &BottleName::new("dev").unwrap(), &rules)
}

fn check(old: &str, rules: &[&str], new: &str) {
    assert_eq!(add(old, Format::Yaml, rules).unwrap(), new, "{old}");
}

#[test]
fn a_rule_is_a_line_behind_the_others_and_comments_stay() {
    check(
        "# mine\nbottles:\n  other: {}\n  dev: # why\n    egress:\n      allowlist:\n      # the forge\n      - github.com # yes\n      # below\n    env: {A: b}\nagents:\n  a: {bottle: dev}\n",
        &["pypi.org", "*.cdn.test:8443"],
        "# mine\nbottles:\n  other: {}\n  dev: # why\n    egress:\n      allowlist:\n      # the forge\n      - github.com # yes\n      - pypi.org\n      - \"*.cdn.test:8443\"\n      # below\n    env: {A: b}\nagents:\n  a: {bottle: dev}\n",
    );
    // Without a line break at the end, and with those of another system.
    check(
        "bottles:\n  dev:\n    egress:\n      allowlist:\n        - a.test",
        &["b.test"],
        "bottles:\n  dev:\n    egress:\n      allowlist:\n        - a.test\n        - b.test\n",
    );
    check(
        "bottles:\r\n  dev:\r\n    egress:\r\n      allowlist:\r\n        - a.test\r\n",
        &["b.test"],
        "bottles:\r\n  dev:\r\n    egress:\r\n      allowlist:\r\n        - a.test\r\n        - b.test\r\n",
    );
}

#[test]
fn a_list_in_brackets_stays_in_brackets() {
    let list = |list: &str| format!("bottles:\n  dev:\n    egress: {{allowlist: {list}}} # é\n");
    check(&list("[a.test, b.test]"), &["[2001:db8::1]"], &list("[a.test, b.test, \"[2001:db8::1]\"]"));
    check(&list("[]"), &["c.test:22"], &list("[c.test:22]"));
    let line = |list: &str| format!("bottles:\n  dev:\n    egress:\n      allowlist: {list} # [mine]\n");
    check(&line("[a.test]"), &["c.test"], &line("[a.test, c.test]"));
    check(&line("['[2001:db8::1]']"), &["c.test"], &line("['[2001:db8::1]', c.test]"));
    check(&line("[]"), &["c.test"], &line("[c.test]"));
    check(&list("[ a.test, ]"), &["*.c.test"], &list("[ a.test, \"*.c.test\" ]"));
    let json = r#"{"bottles": {"dev": {"egress": {"allowlist": ["é.test"]}}}}"#;
    let json = json.replace("é.test", "a.test");
    assert_eq!(
        add(&json, Format::Json, &["b.test"]).unwrap(),
        r#"{"bottles": {"dev": {"egress": {"allowlist": ["a.test", "b.test"]}}}}"#
    );
}

#[test]
fn keys_that_are_missing_are_put_in() {
    let below = |text: &str| format!("bottles:\n  dev:{text}agents: {{}}\n");
    let new = "\n    egress:\n      allowlist:\n        - b.test\n";
    check(&below("\n"), &["b.test"], &below(new));
    check(&below(" {}\n"), &["b.test"], &below(new));
    check(&below(" {} # mine\n"), &["b.test"], &below(&format!(" # mine{new}")));
    check(&below("\n    env:\n      A: b\n"), &["b.test"], &below(&format!("{new}    env:\n      A: b\n")));
    check(
        &below("\n    egress:\n      # presets\n      presets: [node]\n"),
        &["b.test"],
        &below("\n    egress:\n      allowlist:\n        - b.test\n      # presets\n      presets: [node]\n"),
    );
    check(&below("\n    egress:\n"), &["b.test"], &below(new));
    check(
        &below("\n    egress:\n      allowlist: # none\n"),
        &["b.test"],
        &below("\n    egress:\n      allowlist: # none\n        - b.test\n"),
    );
}

#[test]
fn what_is_there_is_not_added_again() {
    let old = "bottles:\n  dev:\n    egress:\n      allowlist: [a.test]\n";
    check(old, &["a.test"], old);
    check(old, &["a.test", "b.test"], "bottles:\n  dev:\n    egress:\n      allowlist: [a.test, b.test]\n");
}

#[test]
fn where_there_is_no_place_the_line_is_named_and_nothing_written() {
    let refused = |old: &str, format, expected: &str| {
        assert_eq!(add(old, format, &["b.test"]).unwrap_err().to_string(), expected, "{old}");
    };
    let no_place = "cannot add to the allowlist in line 2 without changing how it is laid out";
    refused("bottles:\n  dev: {env: {A: b}}\n", Format::Yaml, no_place);
    refused("bottles:\n  dev: {egress: {presets: [node]}}\n", Format::Yaml, no_place);
    refused("{\"bottles\":\n{\"dev\": {}}}", Format::Json, no_place);
    refused("bottles: {}\n", Format::Yaml, "the manifest has no bottle `dev`");
    refused("bottles: 3\n", Format::Yaml, "cannot read the manifest's text as YAML");
}
