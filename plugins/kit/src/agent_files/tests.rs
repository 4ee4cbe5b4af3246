//! What is copied of a user's `~/.claude`, and what stays.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use claude_bottle_plugin_api::{AgentFile, AgentProfile, AgentSpec, FileFormat, HomeFile, OwnSettings};
use serde_json::{Value, json};

use super::*;

fn file(dir: &Path, name: &str) -> AgentFile {
    AgentFile::new(dir.join(name), format!(".claude/{name}"))
}

/// Makes an agent with these files, whose profile has settings of its own.
fn agent(files: Vec<AgentFile>) -> AgentSpec {
    let mut agent = AgentSpec::new("a", vec!["claude".to_owned()]);
    agent.files = files;
    let content = json!({ "skipDangerousModePermissionPrompt": true });
    let mut profile = AgentProfile::new("claude");
    profile.files = vec![HomeFile::new(".claude/settings.json", FileFormat::Json, content)];
    let keep =
        ["hooks", "model", "permissions.allow", "permissions.defaultMode", "permissions.deny", "statusLine"];
    profile.own_settings = Some(OwnSettings::new(".claude/settings.json", keep.map(str::to_owned).to_vec()));
    agent.profile = Some(profile);
    agent
}

/// Writes settings, and returns what comes of them and what the plan says.
fn settings(value: &Value, others: &[&str]) -> (Value, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("settings.json"), value.to_string()).unwrap();
    let mut files = vec![file(dir.path(), "settings.json")];
    for name in others {
        fs::create_dir(dir.path().join(name)).unwrap();
        files.push(file(dir.path(), name));
    }
    let agent = agent(files);
    let facts = survey(&agent).unwrap().into_iter().map(|(label, value)| format!("{label}: {value}"));
    let Content::File(text) = read(&agent, None).unwrap().remove(0).content else { panic!("a file") };
    (serde_json::from_slice(&text).unwrap(), facts.collect())
}

#[test]
fn settings_come_by_a_list_and_what_stays_is_named() {
    let secret = "sk-ant-0123456789";
    let (inside, said) = settings(
        &json!({
            "model": "opus", "permissions": {
                "allow": ["Bash(ls)"], "deny": ["Read(.env)"], "defaultMode": "plan",
                "additionalDirectories": ["/home/ada/x"], "disableBypassPermissionsMode": "disable",
            },
            "env": { "ANTHROPIC_AUTH_TOKEN": secret, "FOO": "1" },
            "apiKeyHelper": "~/bin/key", "proxyAuthHelper": "~/bin/proxy", "sandbox": { "enabled": true },
            "enabledPlugins": { "x@y": true }, "somethingNew": { "headers": secret },
            "skipDangerousModePermissionPrompt": false,
        }),
        &[],
    );
    let permissions = json!({ "allow": ["Bash(ls)"], "deny": ["Read(.env)"], "defaultMode": "plan" });
    let expected =
        json!({ "model": "opus", "permissions": permissions, "skipDangerousModePermissionPrompt": true });
    assert_eq!(inside, expected);
    assert_eq!(
        said,
        ["settings left: apiKeyHelper, enabledPlugins, env (ANTHROPIC_AUTH_TOKEN, FOO), \
          permissions.additionalDirectories, permissions.disableBypassPermissionsMode, proxyAuthHelper, sandbox, \
          somethingNew: not for a bottle"]
    );
}

#[test]
fn without_a_list_no_setting_comes_along() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("settings.json"), r#"{ "model": "opus", "env": { "A": "canary" } }"#).unwrap();
    let mut agent = AgentSpec::new("a", vec!["claude".to_owned()]);
    agent.files = vec![file(dir.path(), "settings.json")];
    for profile in [None, Some(AgentProfile::new("claude"))] {
        agent.profile = profile;
        let Content::File(text) = read(&agent, None).unwrap().remove(0).content else { panic!("a file") };
        assert_eq!(text, b"{}");
        let said = survey(&agent).unwrap();
        assert_eq!(said, [("settings left", "env (A), model: not for a bottle".to_owned())]);
    }
}

#[test]
fn programs_that_settings_name_come_along_and_the_plan_says_what_they_miss() {
    let hook =
        |command: &str| json!([{ "matcher": "Bash", "hooks": [{ "type": "command", "command": command }] }]);
    let (inside, said) = settings(
        &json!({
            "hooks": {
                "PreToolUse": hook("TOKEN=canary python3 ~/.claude/hooks/check.py --key canary"),
                "PostToolUse": [{ "hooks": [
                    { "type": "http", "url": "https://x.example", "headers": { "Authorization": "canary" } },
                    { "type": "command", "command": "\"$HOME/bin/format\" --now" },
                ] }],
                "Stop": hook("jq -r .x /home/ada/list.json"),
                "Notification": hook("/usr/bin/true"),
            },
            "statusLine": { "type": "command", "command": "~/.claude/statusline.sh" },
        }),
        &["hooks"],
    );
    assert_eq!(
        said,
        [
            "settings run: Notification: /usr/bin/true, PostToolUse: $HOME/bin/format (not in the bottle), \
             PreToolUse: python3, Stop: jq (/home/ada/list.json is not in the bottle), \
             status line: ~/.claude/statusline.sh (not in the bottle)",
            "settings left: hooks.PostToolUse, where no program is run: not for a bottle",
        ]
    );
    assert!(!said.concat().contains("canary"), "a plan says no arguments");
    assert_eq!(inside["hooks"]["PostToolUse"][0]["hooks"].as_array().unwrap().len(), 1);
    assert!(inside["statusLine"].is_object());
}

#[test]
fn settings_that_cannot_be_understood_are_refused_by_their_place_and_not_quoted() {
    for (text, expected) in [
        ("{\n \"env\": { \"A\": canary } }", "line 2, column 16: not valid JSON"),
        ("[\"canary\"]", "it holds no JSON object"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("settings.json"), text).unwrap();
        let failure = survey(&agent(vec![file(dir.path(), "settings.json")])).unwrap_err();
        assert_eq!(failure.message, format!("`~/.claude/settings.json` cannot be understood: {expected}"));
        assert_eq!(failure.subject.as_deref(), Some(&Subject::File(SETTINGS.to_owned())));
    }
}

#[test]
fn links_are_followed_and_never_into_a_secret() {
    let (dir, store) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (at, store) = (|name: &str| dir.path().join(name), store.path());
    fs::create_dir_all(store.join("commands")).unwrap();
    fs::create_dir_all(store.join(".aws")).unwrap();
    fs::write(store.join("me.md"), "Be brief.").unwrap();
    fs::write(store.join("commands/fix.md"), "Fix it.").unwrap();
    fs::write(store.join(".aws/credentials"), "x").unwrap();
    fs::write(store.join("id_rsa"), "x").unwrap();
    fs::write(store.join("deploy"), "-----BEGIN PRIVATE KEY-----\n").unwrap();
    symlink(store.join("me.md"), at("CLAUDE.md")).unwrap();
    symlink(store.join("commands"), at("commands")).unwrap();
    let files = [file(dir.path(), "CLAUDE.md"), file(dir.path(), "commands")];
    let both = agent(files.into());
    assert_eq!(survey(&both).unwrap(), []);
    let taken = read(&both, None).unwrap();
    assert!(matches!(&taken[0].content, Content::File(text) if text == b"Be brief."));

    // A secret in the directory itself stays out, and is named.
    fs::write(store.join("commands/.env"), "x").unwrap();
    let facts = survey(&agent(vec![AgentFile::new(store.join("commands"), ".claude/commands")])).unwrap();
    assert_eq!(facts, [("left out", "of ~/.claude/commands: 1 (.env): may hold secrets".to_owned())]);
    fs::remove_file(store.join("commands/.env")).unwrap();

    let refused = |name: &str, target: &Path| {
        fs::remove_file(at(name)).unwrap();
        symlink(target, at(name)).unwrap();
        let failure = survey(&agent(vec![file(dir.path(), name)])).unwrap_err();
        assert_eq!(failure.message, format!("cannot copy `~/.claude/{name}`"));
        failure.causes.concat()
    };
    for secret in ["id_rsa", "deploy", ".aws/credentials"] {
        assert!(refused("CLAUDE.md", &store.join(secret)).contains("which holds a secret"), "{secret}");
    }
    for astray in ["/proc/self/environ", "/dev/zero"] {
        assert!(refused("CLAUDE.md", Path::new(astray)).contains("points out of"), "{astray}");
    }
    assert!(refused("commands", &store.join(".aws")).contains("which holds a secret"));
    fs::remove_file(at("commands")).unwrap();
    fs::create_dir(at("commands")).unwrap();
    symlink(store.join(".aws"), at("commands/more")).unwrap();
    let failure = survey(&agent(vec![file(dir.path(), "commands")])).unwrap_err();
    assert!(failure.causes.concat().contains("which holds a secret"), "{failure:?}");
}

#[test]
fn files_go_below_the_directory_of_claude_code_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("x"), "x").unwrap();
    for path in [".bashrc", ".claude", ".claude/../.bashrc", "/etc/passwd", ".claude/./x/../../y", ""] {
        let astray = agent(vec![AgentFile::new(dir.path().join("x"), path)]);
        assert!(survey(&astray).is_err() && read(&astray, None).is_err(), "{path}");
    }
}
