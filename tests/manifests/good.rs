//! Good manifests: what they mean, that the schema accepts them, and that an agent can be added to each.

use std::fs;

use claude_bottle::manifest::{
    AgentName, BottleName, EnvSource, Format, GitIdentity, Manifest, NewAgent, NewBottle, ProxyKind,
    WorkspacePlace, add_agent, schema,
};

use crate::fixture::{BASE, Fixture, files, shown};

fn complete() -> (Fixture, Manifest) {
    let fixture = Fixture::new();
    fixture.write("home/claude-bottle.yaml", include_str!("good/complete.yaml"));
    let manifest = fixture.load().unwrap_or_else(|errors| panic!("{}", shown(&errors)));
    (fixture, manifest)
}

#[test]
fn good_manifests_load_and_fit_the_schema() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    for case in files("good") {
        let fixture = Fixture::new();
        let extension = case.extension().unwrap().to_str().unwrap();
        let content = fs::read(&case).unwrap();
        let in_project = case.file_stem().is_some_and(|stem| stem == "project-agents");
        let place = if in_project { "project" } else { "home" };
        if in_project {
            fixture.write("home/claude-bottle.yaml", BASE);
        }
        let path = fixture.write(&format!("{place}/claude-bottle.{extension}"), &content);
        assert_eq!(fixture.report(), "the manifest was accepted", "{}", case.display());

        let text = String::from_utf8(content).unwrap();
        let plain = text.trim_start_matches('\u{feff}');
        let format = Format::of(&path);
        let value: serde_json::Value = match format {
            Format::Yaml => serde_yaml::from_str(plain).unwrap(),
            Format::Json => serde_json::from_str(plain).unwrap(),
        };
        let faults: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(faults.is_empty(), "{}: {faults:?}", case.display());

        let new = NewAgent {
            profile: None,
            name: AgentName::new("added").unwrap(),
            bottle: BottleName::new("added").unwrap(),
            new_bottle: Some(NewBottle::default()),
            skills: Vec::new(),
            prompt: "two\nlines".to_owned(),
        };
        let added = add_agent(&text, format, &new).unwrap();
        let candidate =
            Manifest::check_candidate(&fixture.locations(), &fixture.trust(), &path, added.text.as_bytes());
        let manifest = candidate.unwrap_or_else(|errors| panic!("{}\n{}", shown(&errors), added.text));
        assert_eq!(manifest.agent("added").unwrap().agent.prompt, "two\nlines");
    }
}

#[test]
fn the_bottle_is_what_was_written() {
    let (fixture, manifest) = complete();
    let bottle = manifest.bottle("dev").unwrap();
    let env: Vec<String> = bottle
        .env
        .iter()
        .map(|entry| match &entry.source {
            EnvSource::Literal(value) => format!("{}={:?}", entry.name, value.as_str()),
            EnvSource::Ask { message } => format!("{}?{}", entry.name, message.as_deref().unwrap_or("-")),
            EnvSource::Host { variable } => format!("{}<{variable}", entry.name),
        })
        .collect();
    let expected = [
        "AWS_REGION<AWS_REGION",
        "EDITOR=\"vim\"",
        "EMPTY=\"\"",
        "GITHUB_TOKEN?GitHub token with repo scope",
        "MULTILINE=\"first\\nsecond\\n\"",
        "NPM_TOKEN?-",
    ];
    assert_eq!(env, expected);
    let ssh: Vec<String> = bottle
        .ssh
        .iter()
        .map(|host| {
            format!("{} {}@{} {} {:?}", host.host, host.user, host.hostname, host.port, host.known_host_key)
        })
        .collect();
    assert_eq!(
        ssh,
        [
            "forge git@git.example.com 2222 Some(\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB0123456789\")",
            "six git@[2001:db8::7] 22 None",
        ]
    );
    for host in &bottle.ssh {
        assert_eq!(host.identity_file, fixture.home().join(".ssh/id_ed25519"));
    }
    assert_eq!(bottle.limits.cpus, Some(1.5));
    assert_eq!(bottle.limits.memory_bytes, Some(4 << 30));
    assert_eq!(bottle.limits.pids, Some(512));
    assert_eq!(bottle.limits.shm_bytes, Some(1 << 30));
    assert_eq!(bottle.user.as_deref(), Some("dev"));
    assert_eq!(bottle.image.as_deref(), Some("registry.example.com/team/agent:1.2@sha256:0123456789abcdef"));
    let tools: Vec<String> =
        bottle.tools.iter().map(|tool| format!("{} {}", tool.path.display(), tool.origin)).collect();
    let home = fixture.home().display().to_string();
    assert_eq!(
        tools,
        [
            format!("{home}/.rustup ~/claude-bottle.yaml:50"),
            format!("{home}/.cargo/bin ~/claude-bottle.yaml:51"),
        ]
    );
    let options: Vec<String> = bottle
        .options
        .iter()
        .map(|option| format!("{}.{} {} {}", option.backend, option.name, option.value, option.origin))
        .collect();
    assert_eq!(
        options,
        [
            r#"docker.allow_missing ["seccomp","pids"] ~/claude-bottle.yaml:55"#,
            "docker.pull true ~/claude-bottle.yaml:56",
            r#"their-own.shape {"name":"x","ratio":-0.5,"size":2} ~/claude-bottle.yaml:58"#,
        ]
    );
}

#[test]
fn where_an_agent_keeps_its_sessions_is_below_its_home() {
    let (_fixture, manifest) = complete();
    let history = |name: &str| {
        let agent = manifest.agents().find(|agent| agent.name.as_str() == name).unwrap();
        agent.history.clone()
    };
    assert_eq!(history("reviewer"), Some(vec![".claude/projects".into(), ".codex/sessions".into()]));
    assert_eq!(history("plain"), None);
}

#[test]
fn files_of_claude_code_are_what_was_written() {
    let (fixture, manifest) = complete();
    let files = &manifest.agent("implementer").unwrap().agent.claude;
    let names: Vec<_> = files.iter().map(|file| file.name).collect();
    assert_eq!(names, ["CLAUDE.md", "settings.json", "commands", "agents"]);
    assert_eq!(files[2].path, fixture.home().join(".claude/commands"));
    assert_eq!(files[2].origin.to_string(), "~/claude-bottle.yaml:64");
    assert!(manifest.agent("reviewer").unwrap().agent.claude.is_empty());
}

#[test]
fn place_and_identity_are_what_was_written() {
    let (_fixture, manifest) = complete();
    let of = |name: &str| manifest.bottle(name).map(|bottle| (bottle.workspace, bottle.git_identity.clone()));
    assert_eq!(of("dev"), Some((WorkspacePlace::Same, GitIdentity::Host)));
    let (name, email) = ("Ada Lovelace".to_owned(), "ada@example.com".to_owned());
    assert_eq!(of("bare"), Some((WorkspacePlace::Home, GitIdentity::Named { name, email })));
}

#[test]
fn the_way_out_is_what_was_written() {
    let (_fixture, manifest) = complete();
    let egress = &manifest.bottle("dev").unwrap().egress;
    let rules: Vec<String> = egress.rules.iter().map(|rule| format!("{rule} ({})", rule.origin())).collect();
    assert_eq!(
        rules,
        [
            "api.example.com (bottle dev, ~/claude-bottle.yaml:25)",
            "*.example.org (bottle dev, ~/claude-bottle.yaml:26)",
            "example.net:8443 (bottle dev, ~/claude-bottle.yaml:27)",
            "deny telemetry.example.org (bottle dev, ~/claude-bottle.yaml:28)",
        ]
    );
    assert_eq!(egress.proxy, Some(ProxyKind::Guard));
    let hosts: Vec<String> = egress
        .hosts
        .iter()
        .map(|host| format!("{} {:?} {}", host.host, host.addresses, host.origin))
        .collect();
    assert_eq!(
        hosts,
        [
            "db.internal [10.1.2.3] ~/claude-bottle.yaml:31",
            "cache.internal [10.1.2.4, fd00::4] ~/claude-bottle.yaml:32",
        ]
    );
    let private: Vec<String> =
        egress.private.iter().map(|entry| format!("{} {}", entry.grant.host, entry.grant.range)).collect();
    assert_eq!(private, ["db.internal 10.1.0.0/16", "192.168.1.9 192.168.1.9/32"]);
    let dlp = serde_json::to_value(&egress.dlp).unwrap();
    assert_eq!(
        dlp,
        serde_json::json!({
            "secrets": "block", "rules": "warn",
            "exempt_hosts": ["*.example.org"], "exempt_rules": ["generic-api-key"],
            "also": ["cards", "jwts"],
        })
    );
}

#[test]
fn a_preset_is_its_hosts_and_says_where_they_come_from() {
    let (_fixture, manifest) = complete();
    let egress = &manifest.bottle("bare").unwrap().egress;
    let names: Vec<_> = egress.presets.iter().map(|preset| preset.name).collect();
    assert_eq!(names, ["node", "github"]);
    let rules: Vec<String> = egress.rules.iter().map(|rule| format!("{rule} ({})", rule.origin())).collect();
    for wanted in ["registry.npmjs.org (preset node", "api.github.com (preset github"] {
        let wanted = format!("{wanted}, bottle bare, ~/claude-bottle.yaml:59)");
        assert!(rules.contains(&wanted), "{wanted} is not in {rules:?}");
    }
}

#[test]
fn the_agents_are_what_was_written() {
    let (fixture, manifest) = complete();
    let names: Vec<&str> = manifest.agents().map(|agent| agent.name.as_str()).collect();
    assert_eq!(names, ["implementer", "plain", "reviewer"]);
    let implementer = manifest.agent("implementer").unwrap();
    assert_eq!(implementer.bottle.name.as_str(), "dev");
    assert_eq!(implementer.agent.prompt, "Implement what the issue asks for.\nRun the tests.\n");
    assert_eq!(implementer.agent.command, ["claude", "--dangerously-skip-permissions"]);
    let skills: Vec<_> = implementer.agent.skills.iter().map(|skill| skill.directory.clone()).collect();
    assert_eq!(
        skills,
        [fixture.home().join(".claude/skills/pdf"), fixture.home().join(".claude/skills/review")]
    );
    let reviewer = manifest.agent("reviewer").unwrap();
    assert_eq!(reviewer.agent.prompt, "Review what changed.\n");
    assert_eq!(reviewer.agent.prompt_file, Some(fixture.home().join("prompts/review.md")));
    assert_eq!(reviewer.agent.command.last().unwrap(), "two words");
    assert_eq!(manifest.agent("plain").unwrap().agent.command, ["claude", "--verbose"]);
    assert_eq!(reviewer.agent.origin.to_string(), "~/claude-bottle.yaml:68");
}

#[test]
fn an_unknown_agent_is_told_what_there_is() {
    let (_fixture, manifest) = complete();
    let error = manifest.agent("implementor").unwrap_err();
    assert_eq!(error.to_string(), "there is no agent `implementor`");
    assert_eq!(error.notes(), ["did you mean `implementer`?", "agents: implementer, plain, reviewer"]);
    assert_eq!(manifest.agent("zzz").unwrap_err().notes(), ["agents: implementer, plain, reviewer"]);
}

#[test]
fn text_stays_text() {
    let fixture = Fixture::new();
    fixture.write("home/claude-bottle.yaml", include_str!("good/yaml-surprises.yaml"));
    let manifest = fixture.load().unwrap();
    let value = |name: &str| {
        let entries = &manifest.bottle("no").unwrap().env;
        match &entries.iter().find(|entry| entry.name.as_str() == name).unwrap().source {
            EnvSource::Literal(value) => value.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let check = |name: &str, expected: &str| assert_eq!(value(name), expected, "{name}");
    check("COUNTRY", "no");
    check("SWITCH", "on");
    check("VERSION", "1.10");
    check("OCTAL", "0777");
    check("FOLDED", "one line");
    check("HASH", "a#b");
    check("COLON", "http://example.com/x");
    check("BRACES", "a${HOME}b");
    assert!(manifest.agent("1").is_ok());
}
