//! What the user has in `~/.claude` and names in the manifest: the real CLI inside has it, and nothing else of it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use claude_bottle_standin::{Script, ToolCall};
use serde_json::json;

use crate::support::backend::{Backend, on_a_cluster, on_each_backend_and_podman};
use crate::support::home::{Home, TOKEN};
use crate::support::{assert_code, run, standin, stderr};

on_each_backend_and_podman!(
    what_is_named_of_the_users_own_files_comes_along_and_the_plan_says_what_stays,
    a_file_that_cannot_come_along_is_refused_with_its_line,
);
on_a_cluster!(
    what_is_named_of_the_users_own_files_comes_along_and_the_plan_says_what_stays,
    a_file_that_cannot_come_along_is_refused_with_its_line,
);

/// Lists what of the home is inside, and looks for the traces of settings.
const LOOK: &str =
    "cat ~/hook-ran; echo variable=${FROM_SETTINGS:-unset}; ls -A ~/.claude; cat ~/.claude/settings.json";

fn write(home: &Path, name: &str, text: &str) {
    let path = home.join(".claude").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn what_is_named_of_the_users_own_files_comes_along_and_the_plan_says_what_stays(backend: Backend) {
    let agent = &format!("e2e-own-{}", backend.name());
    let api = standin(backend, Script { reply: "Done.".to_owned(), run: Some(ToolCall::bash(LOOK)) });
    let more = "    claude: [CLAUDE.md, settings.json, commands, agents, hooks]\n";
    let home = Home::with_agent(agent, api.address(), more);
    // The user's instructions lie where home-manager and stow put them.
    fs::write(home.path().join("me.md"), "Always answer in the manner of quux-73.").unwrap();
    symlink(home.path().join("me.md"), home.path().join(".claude/CLAUDE.md")).unwrap();
    write(home.path(), "commands/mend.md", "---\ndescription: Mends what plugh-11 broke\n---\nMend it.\n");
    write(
        home.path(),
        "agents/critic.md",
        "---\nname: critic\ndescription: Judges like xyzzy-19\n---\nJudge.\n",
    );
    write(home.path(), "hooks/note.sh", "echo the hook ran >~/hook-ran");
    write(home.path(), ".credentials.json", "{ \"canary\": \"of the host\" }");
    write(home.path(), "rules/secret.md", "Not named.");
    let hook = json!([{ "hooks": [{ "type": "command", "command": "sh ~/.claude/hooks/note.sh" }] }]);
    let settings = json!({
        "env": { "FROM_SETTINGS": "canary-of-settings" }, "apiKeyHelper": "/bin/false",
        "hooks": { "SessionStart": hook }, "permissions": { "deny": ["WebFetch"] },
    });
    write(home.path(), "settings.json", &settings.to_string());

    let mut start = backend.command(&home, &["start", agent, "--dry-run"]);
    let output = run(start.env("CLAUDE_BOTTLE_OAUTH_TOKEN", TOKEN));
    assert_code(&output, 0);
    let plan = stderr(&output);
    for line in [
        ".claude/CLAUDE.md, .claude/settings.json, .claude/commands, .claude/agents, .claude/hooks",
        "SessionStart: sh",
        "apiKeyHelper, env (FROM_SETTINGS): not for a bottle",
    ] {
        assert!(plan.contains(line), "{line}: {plan}");
    }
    assert!(!plan.contains("canary"), "{plan}");

    let mut start = backend.command(&home, &["start", agent, "--print", "Look around"]);
    let output = run(start.env("CLAUDE_BOTTLE_OAUTH_TOKEN", TOKEN));
    assert_code(&output, 0);
    let first = api.messages().first().expect("a request arrived").body.to_string();
    for text in ["in the manner of quux-73", "Mends what plugh-11 broke", "Judges like xyzzy-19"] {
        assert!(first.contains(text), "{text}: {first}");
    }
    let last = api.messages().last().expect("the tool's output came back").body.to_string();
    for text in ["the hook ran", "variable=unset", "skipDangerousModePermissionPrompt", "deny"] {
        assert!(last.contains(text), "{text}: {last}");
    }
    for text in [".credentials.json", "canary-of-settings", "apiKeyHelper", "rules"] {
        assert!(
            !last.contains(&format!("\\n{text}")) && !last.contains(&format!("{text}\\\"")),
            "{text}: {last}"
        );
    }
    backend.assert_nothing_left(&home, agent);
}

fn a_file_that_cannot_come_along_is_refused_with_its_line(backend: Backend) {
    let agent = &format!("e2e-own-refused-{}", backend.name());
    let api = standin(backend, Script::default());
    let home =
        Home::with_agent(agent, api.address(), "    claude:\n      - settings.json\n      - CLAUDE.md\n");
    let line = |home: &Home| {
        let output = run(&mut backend.command(home, &["start", agent, "--yes"]));
        assert_code(&output, 125);
        stderr(&output)
    };
    let said = line(&home);
    assert!(
        said.contains("~/claude-bottle.yaml:16:9:") && said.contains("~/.claude/settings.json"),
        "{said}"
    );
    write(home.path(), "settings.json", "{ \"env\": {");
    write(home.path(), "CLAUDE.md", "Be brief.");
    let said = line(&home);
    assert!(
        said.contains("~/claude-bottle.yaml:16: `~/.claude/settings.json` cannot be understood"),
        "{said}"
    );
    write(home.path(), "settings.json", "{}");
    fs::remove_file(home.path().join(".claude/CLAUDE.md")).unwrap();
    fs::write(home.path().join("id_rsa"), "x").unwrap();
    symlink(home.path().join("id_rsa"), home.path().join(".claude/CLAUDE.md")).unwrap();
    let said = line(&home);
    assert!(said.contains("~/claude-bottle.yaml:17: cannot copy `~/.claude/CLAUDE.md`"), "{said}");
    assert!(said.contains("id_rsa`, which holds a secret"), "{said}");
    backend.assert_nothing_left(&home, agent);
}
