//! `plugin check` and `plugin new`: what they say, and each way they are called wrongly.

use insta::assert_snapshot;

use crate::support::{Home, assert_code, assert_says, json, keys, stderr, stdout, tree};

#[test]
fn a_crate_is_written_once() {
    let home = Home::empty();
    assert_snapshot!(home.shown(&["plugin", "new", "shed"]), @"
    exit 0
    --- stderr
    wrote 9 files to claude-bottle-backend-shed
    next: cd claude-bottle-backend-shed && cargo test
    ");
    let crate_dir = home.work().join("claude-bottle-backend-shed");
    assert!(crate_dir.join("src/backend.rs").is_file());
    assert_snapshot!(home.shown(&["plugin", "new", "shed"]), @"
    exit 1
    --- stderr
    error: `claude-bottle-backend-shed` exists and is not an empty directory

    hint: add --path DIR to write it elsewhere
    ");
    assert_code(&home.call(&["plugin", "new", "shed", "--path", "../shed"]), 0);
    assert!(home.path().join("shed/Cargo.toml").is_file());
}

#[test]
fn a_bad_name_writes_nothing() {
    let home = Home::empty();
    assert_snapshot!(home.shown(&["plugin", "new", "../Shed"]), @"
    exit 1
    --- stderr
    error: `../Shed` is not a backend's name

    hint: a name is a lower-case letter, then letters, digits and hyphens: docker
    ");
    assert_eq!(home.names_in("work"), Vec::<String>::new());
}

#[test]
fn a_crate_takes_the_contract_from_a_directory() {
    let home = Home::empty();
    home.write("work/api/Cargo.toml", "");
    assert_code(&home.call(&["plugin", "new", "shed", "--api", "api"]), 0);
    let manifest = home.work().join("claude-bottle-backend-shed/Cargo.toml");
    let wanted = format!("path = \"{}\"", home.work().join("api").canonicalize().unwrap().display());
    assert_says(&std::fs::read_to_string(manifest).unwrap(), &[&wanted]);
    assert_snapshot!(home.shown(&["plugin", "new", "other", "--api", "nowhere"]), @"
    exit 1
    --- stderr
    error: cannot find the crate claude-bottle-plugin-api in `nowhere`
      caused by: No such file or directory (os error 2)
    ");
    assert_eq!(home.names_in("work").len(), 2);
}

#[test]
fn a_check_names_what_is_broken() {
    let home = Home::empty();
    let output = home.call(&["plugin", "check", "fake", "--setting", "FAKE_FAULT=error:provision"]);
    assert_code(&output, 1);
    let table = stdout(&output);
    assert!(table.starts_with("backend `fake` 0.1.0, contract 1.1\n  pass  describe  "), "{table}");
    assert_says(&table, &["  FAIL  prompt  ", "a fault was asked for in `provision`", "  pass  open  "]);
    home.assert_nothing_left();
}

#[test]
fn a_plugin_that_prints_spoils_no_report() {
    let home = Home::empty();
    let fault = "CLAUDE_BOTTLE_FAKE_FAULT=print:launch";
    let output = home.call(&["plugin", "check", "fake", "--format", "json", "--setting", fault]);
    assert_code(&output, 1);
    let report = json(&output);
    assert_eq!(keys(&report), ["cases", "contract", "name", "version"]);
    let broken: Vec<_> =
        report["cases"].as_array().unwrap().iter().filter(|case| case["outcome"] == "fail").collect();
    assert_eq!(broken.len(), 1, "{broken:?}");
    assert_eq!(keys(broken[0]), ["detail", "id", "millis", "outcome", "title"]);
    assert_eq!(broken[0]["id"], "quiet-life");
    assert_says(&stderr(&output), &["printed by the fake backend"]);
}

#[test]
fn cases_that_are_left_out() {
    let home = Home::empty();
    let output = home.call(&["plugin", "check", "fake", "--skip", "leaks", "--skip", "close-twice"]);
    assert_code(&output, 0);
    assert_says(
        &stdout(&output),
        &["  skip  leaks ", "  skip  close-twice ", "68 passed, 0 failed, 16 skipped", "--skip names it"],
    );
    assert_says(&stdout(&output), &["it runs together with `close-twice`, which is to be left out"]);
    assert_code(&home.call(&["plugin", "check", "fake", "--skip", "leak"]), 2);
}

#[test]
fn checks_that_cannot_begin() {
    let home = Home::empty();
    let broken = home.write("work/claude-bottle-backend-broken.so", "no library");
    assert_snapshot!(home.shown(&["plugin", "check", broken.to_str().unwrap()]), @"
    exit 1
    --- stderr
    error: plug-in `[HOME]/work/claude-bottle-backend-broken.so` cannot be used
      caused by: it is not a shared library (text, 10 bytes)

    hint: install the plug-in again; copy to another name first and then rename: cp FILE DIR/new && mv DIR/new DIR/claude-bottle-backend-NAME.so
    ");
    assert_snapshot!(home.shown(&["plugin", "check", "nomad"]), @"
    exit 1
    --- stderr
    error: backend `nomad` not found

    hint: available backends: fake
    hint: looked in: `[HOME]/.local/share/claude-bottle/plugins` (data directory, does not exist); `[PREFIX]/lib/claude-bottle/plugins` (next to the program)
    hint: to add it: install -D -m 755 FILE ~/.local/share/claude-bottle/plugins/claude-bottle-backend-nomad.so
    ");
    assert_snapshot!(home.shown(&["plugin", "check", "fake", "--setting", "X"]), @"
    exit 2
    --- stderr
    error: invalid value 'X' for '--setting <K=V>': a setting is NAME=VALUE

    For more information, try '--help'.
    ");
    let pinned = home.call(&["plugin", "pin", "fake"]);
    assert_code(&pinned, 0);
    let pins = home.path().join(".local/share/claude-bottle/plugins.json");
    let text = std::fs::read_to_string(&pins).unwrap();
    let hash = text.split('"').find(|part| part.len() == 64).unwrap();
    std::fs::write(&pins, text.replace(hash, &"0".repeat(64))).unwrap();
    let output = home.call(&["plugin", "check", tree::plugin().to_str().unwrap()]);
    assert_code(&output, 1);
    assert_says(&stderr(&output), &["is pinned to sha256 0000"]);
}
