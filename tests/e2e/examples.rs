//! The files in `examples/` that are of no language, as they are, but that the agents' model is a stand-in: what their comments say is typed.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use claude_bottle_standin::{Script, Standin, ToolCall};
use serde_json::{Value, json};

use crate::ssh::git;
use crate::support::backend::{Backend, on_each_backend};
use crate::support::home::{Home, TOKEN};
use crate::support::{assert_code, run, standin, stdout};

on_each_backend!(a_job_of_a_ci_service_has_a_patch, each_part_of_a_monorepo_has_hosts_of_its_own);

/// Makes a home with an example, and a repository with these files.
fn home(example: &str, api: SocketAddr, files: &[(&str, &str)]) -> Home {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(example);
    let mut manifest: Value = serde_yaml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let (address, port) = (api.ip(), api.port());
    for bottle in manifest["bottles"].as_object_mut().unwrap().values_mut() {
        bottle["env"]["ANTHROPIC_BASE_URL"] = json!(format!("http://api.standin.test:{port}"));
        bottle["env"]["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"] = json!("1");
        let egress = bottle["egress"].as_object_mut().unwrap();
        let allowed = egress.entry("allowlist").or_insert(json!([]));
        allowed.as_array_mut().unwrap().push(json!(format!("api.standin.test:{port}")));
        egress.insert("hosts".to_owned(), json!({ "api.standin.test": address }));
        egress.insert(
            "private".to_owned(),
            json!([{ "host": "api.standin.test", "range": format!("{address}/32") }]),
        );
    }
    let home = Home::new(&serde_yaml::to_string(&manifest).unwrap());
    git(&home.work(), &["init", "--quiet"]);
    for (path, content) in files {
        let path = home.work().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    git(&home.work(), &["add", "."]);
    git(&home.work(), &["commit", "--quiet", "-m", "first"]);
    home
}

/// Starts a stand-in whose agent runs a line.
fn model(backend: Backend, line: &str) -> Standin {
    standin(backend, Script { reply: "Done.".to_owned(), run: Some(ToolCall::bash(line)) })
}

fn a_job_of_a_ci_service_has_a_patch(backend: Backend) {
    let api = model(
        backend,
        "echo $ANTHROPIC_API_KEY; git commit --quiet --all --allow-empty -m x && git log -1 --format=%an; echo good >code.txt",
    );
    let home = home("ci.yaml", api.address(), &[("code.txt", "bad\n")]);
    let start = ["start", "fix", "--cwd", "--yes", "--print", "The tests fail. Fix the code, not the tests."];
    let output = run(backend.command(&home, &start).env("ANTHROPIC_API_KEY", TOKEN));
    assert_code(&output, 0);
    assert_eq!(stdout(&output), "Done.\n");
    // The key is the guard's.
    let request = api.messages().pop().expect("a request arrived");
    assert_eq!(request.header("x-api-key"), Some(TOKEN));
    assert!(request.body.to_string().contains("CI agent"), "{}", request.body);
    assert!(!request.body.to_string().contains(TOKEN), "the agent has the key");

    let patch = run(&mut backend.command(&home, &["diff", "--format", "patch"]));
    assert_code(&patch, 0);
    fs::write(home.path().join("agent.patch"), &patch.stdout).unwrap();
    git(&home.work(), &["apply", "../agent.patch"]);
    assert_eq!(fs::read_to_string(home.work().join("code.txt")).unwrap(), "good\n");
    let logs = run(&mut backend.command(&home, &["logs", "fix", "--egress"]));
    assert_code(&logs, 0);
    assert!(stdout(&logs).contains("api.standin.test"), "{}", stdout(&logs));
    backend.assert_nothing_left(&home, "fix");
}

fn each_part_of_a_monorepo_has_hosts_of_its_own(backend: Backend) {
    let api = model(backend, "pwd; ls ..; bottle policy");
    let home = home("monorepo.yaml", api.address(), &[("web/package.json", "{}"), ("api/setup.cfg", "")]);
    let seen = |agent: &str, below: &str| {
        let mut start = backend.command(&home, &["start", agent, "--cwd", "--yes", "--print", "Look around"]);
        start.current_dir(home.work().join(below)).env("CLAUDE_BOTTLE_OAUTH_TOKEN", TOKEN);
        assert_code(&run(&mut start), 0);
        backend.assert_nothing_left(&home, agent);
        let request = api.messages().pop().expect("a request arrived");
        (request.system_prompt(), request.body.to_string())
    };
    let (told, said) = seen("web", "web");
    assert!(told.contains("You work in web/"), "{told}");
    assert!(said.contains("registry.npmjs.org") && !said.contains("pypi.org"), "{said}");
    assert!(said.contains("/web\\napi\\nweb\\n"), "{said}");
    let (_, said) = seen("api", "api");
    assert!(said.contains("pypi.org") && !said.contains("registry.npmjs.org"), "{said}");
    let (_, said) = seen("review", ".");
    assert!(!said.contains("pypi.org") && !said.contains("registry.npmjs.org"), "{said}");
}
