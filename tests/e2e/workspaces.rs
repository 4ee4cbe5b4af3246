//! Projects of the registries build and test inside, from nothing, through the guard, with what `examples/` grants.
//!
//! They reach the registries, the way this machine's clients do, so that they have a target of their own: `make test-workspaces`. It makes
//! the projects, the image with their tools and the installers exist; without them these tests fail.

use std::collections::BTreeSet;
use std::net::ToSocketAddrs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::backend::{Backend, on_each_backend};
use crate::support::home::Home;
use crate::support::{assert_code, run, stdout};

on_each_backend!(
    #[ignore = "reaches the registries: make test-workspaces"]
    a_node_workspace_under_pnpm_builds_and_tests,
    #[ignore = "reaches the registries: make test-workspaces"]
    a_python_project_under_uv_builds_and_tests,
    #[ignore = "reaches the registries: make test-workspaces"]
    a_rust_workspace_builds_and_tests,
    #[ignore = "reaches the registries: make test-workspaces"]
    a_go_module_builds_and_tests,
    #[ignore = "reaches the registries: make test-workspaces"]
    a_maven_project_builds_and_tests,
    #[ignore = "reaches the registries: make test-workspaces"]
    a_gradle_project_builds_and_tests,
);

/// The clients find their way without what names a proxy to them.
const WITHOUT_PROXY: &str =
    "unset HTTP_PROXY http_proxy HTTPS_PROXY https_proxy NO_PROXY no_proxy NODE_USE_ENV_PROXY";

fn a_node_workspace_under_pnpm_builds_and_tests(backend: Backend) {
    let said = build(backend, "node-pnpm", "pnpm install && pnpm --recursive run tests-only");
    assert_eq!(said.matches("\n# ok").count(), 2, "{said}");
    assert!(!said.contains("not ok "), "{said}");
}

fn a_python_project_under_uv_builds_and_tests(backend: Backend) {
    let said = build(
        backend,
        "python-uv",
        "uv sync --locked --group tests && uv run --locked pytest -q && uv build && ls dist",
    );
    assert!(said.contains(" passed") && !said.contains(" failed"), "{said}");
    assert!(said.contains("click-8.3.1-py3-none-any.whl"), "{said}");
}

fn a_rust_workspace_builds_and_tests(backend: Backend) {
    let said = build(backend, "rust", "cargo build --workspace && cargo test --workspace");
    assert!(said.matches("test result: ok.").count() >= 4 && !said.contains("FAILED"), "{said}");
}

fn a_go_module_builds_and_tests(backend: Backend) {
    let said = build(backend, "go", "go build ./... && go test ./...");
    assert!(
        said.contains("ok  \tgithub.com/spf13/cobra\t") && said.contains("ok  \tgithub.com/spf13/cobra/doc"),
        "{said}"
    );
}

fn a_maven_project_builds_and_tests(backend: Backend) {
    // What looks at licenses of files wants one in the file that the tests read.
    let said = build(backend, "java-maven", "mvn --batch-mode --no-transfer-progress -Drat.skip test");
    assert!(said.contains("BUILD SUCCESS") && said.contains("Failures: 0, Errors: 0"), "{said}");
}

fn a_gradle_project_builds_and_tests(backend: Backend) {
    let said = build(
        backend,
        "java-gradle",
        "gradle --no-daemon --console plain test && ls build/test-results/test | wc -l",
    );
    assert!(said.contains("BUILD SUCCESSFUL"), "{said}");
    let classes: u32 = said.trim_end().lines().last().unwrap().trim().parse().unwrap();
    assert!(classes > 20, "{said}");
}

/// Runs a line in a copy of a project, as the example of its name grants it, and returns what it printed.
fn build(backend: Backend, name: &str, script: &str) -> String {
    let agent = &format!("e2e-ws-{name}-{}", backend.name());
    let home = Home::new(&serde_yaml::to_string(&manifest(backend, name, agent, script)).unwrap());
    let project = cache().join("workspaces").join(name);
    assert!(project.is_dir(), "no projects below .cache; make them: tests/setup/workspaces.sh");
    assert_code(&run(Command::new("cp").arg("-a").arg(project.join(".")).arg(home.work())), 0);
    install_tools(home.path());
    let mut start = backend.command(&home, &["start", agent, "--yes", "--cwd"]);
    start.env("PATH", search_path(home.path())).env("PNPM_HOME", home.path().join(".local/share/pnpm"));
    for name in ["HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"] {
        start.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    let output = run(&mut start);
    assert_code(&output, 0);
    has_no_finding(&format!("{name}, {}", backend.name()), &home.decisions());
    backend.assert_nothing_left(&home, agent);
    stdout(&output)
}

/// Codes by which inspection, or that a tunnel is opened at all, stops what would have gone.
const FINDINGS: [&str; 11] = [
    "bad_request",
    "body_encoded",
    "client_distrusts",
    "dlp_rule",
    "dlp_secret",
    "host_mismatch",
    "not_http",
    "trailers_refused",
    "upgrade_refused",
    "upstream_certificate",
    "upstream_tls",
];

/// Fails unless the guard has looked into the HTTPS of a project and has stopped nothing of it. Says how much that was, and what else
/// was not let through.
#[expect(clippy::print_stdout, reason = "how much was looked into is to be seen by hand")]
fn has_no_finding(what: &str, decisions: &[Value]) {
    let seen: Vec<_> = decisions.iter().filter(|line| line["path"].is_string()).collect();
    let up: u64 = seen.iter().filter_map(|line| line["bytes_up"].as_u64()).sum();
    let others = decisions.iter().filter(|line| line["verdict"] != "allow");
    let others: Vec<_> = others.map(|line| format!("{} {}", line["code"], line["host"])).collect();
    let said = format!("{what}: {} requests within HTTPS, {up} bytes up; others: {others:?}", seen.len());
    println!("{said}");
    assert!(!seen.is_empty(), "nothing was looked into");
    let is_finding = |line: &&Value| FINDINGS.iter().any(|code| line["code"] == *code);
    let found: Vec<_> = decisions.iter().filter(is_finding).collect();
    assert!(found.is_empty(), "{found:?}");
}

/// Returns the example's manifest with an agent that runs a line, and with what is this machine's own: where names lead to here, which
/// authorities it trusts, and the image with the tools.
fn manifest(backend: Backend, name: &str, agent: &str, script: &str) -> Value {
    let file = root().join("examples").join(format!("{name}.yaml"));
    let mut manifest: Value = serde_yaml::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let wanted = if backend == Backend::Docker { "image" } else { "tools" };
    let line = format!("{{ {WITHOUT_PROXY}; {script}; }} 2>&1");
    manifest["agents"] = json!({ agent: { "bottle": wanted, "command": ["sh", "-ec", line] } });
    let bottle = &mut manifest["bottles"][wanted];
    if backend == Backend::Docker {
        bottle["image"] = json!("claude-bottle-workspaces:latest");
    }
    let allowed = bottle["egress"]["allowlist"].as_array().unwrap().clone();
    let here = allowed.iter().filter_map(Value::as_str).flat_map(grants).collect::<Vec<_>>();
    bottle["egress"]["private"] = json!(here);
    let files = ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"].map(std::env::var);
    let files: BTreeSet<String> = files.into_iter().flatten().collect();
    bottle["egress"]["authorities"] = json!(files);
    manifest
}

/// Grants the addresses that a host has on this machine, which need not be public ones.
fn grants(host: &str) -> Vec<Value> {
    let found = (host, 443).to_socket_addrs().into_iter().flatten();
    found.map(|found| json!({ "host": host, "range": found.ip().to_string() })).collect()
}

/// Puts tools of a user's home where their installers put them.
pub(crate) fn install_tools(home: &Path) {
    let (installers, real) = (cache().join("installers"), PathBuf::from(std::env::var_os("HOME").unwrap()));
    for (target, place) in [
        (installers.join("node_modules/pnpm"), ".local/share/pnpm"),
        (installers.join("bin/uv"), ".local/bin/uv"),
        (real.join(".rustup"), ".rustup"),
        (real.join(".cargo/bin"), ".cargo/bin"),
    ] {
        let place = home.join(place);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        symlink(target.canonicalize().unwrap(), place).unwrap();
    }
}

pub(crate) fn search_path(home: &Path) -> String {
    let own =
        [".local/share/pnpm", ".local/bin", ".cargo/bin"].map(|dir| home.join(dir).display().to_string());
    format!("{}:/usr/local/go/bin:{}", own.join(":"), std::env::var("PATH").unwrap())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn cache() -> PathBuf {
    root().join(".cache")
}
