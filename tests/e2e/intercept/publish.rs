//! Programs that publish, each with a preset's placeholder alone: gh, git, npm, pip, twine, uv and cargo, at stand-ins of their registries under
//! the real names.
//!
//! They take the network to be installed, so that this has a target of its own: `make test-workspaces`. `tests/setup/publishers.sh` makes them
//! exist; without it these tests fail.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::above::{Above, Bottle};
use super::secrets::{SEARCH, assert_nowhere};
use crate::egress::decisions;
use crate::egress::session::Session;
use crate::support::backend::{Backend, on_each_backend};
use crate::support::home::Home;
use crate::support::{assert_code, run};
use crate::workspaces::{install_tools, search_path};

on_each_backend!(
    #[ignore = "takes the network to install what it runs: make test-workspaces"]
    programs_that_publish_work_with_the_placeholder_of_their_preset,
    #[ignore = "takes the network to install what it runs: make test-workspaces"]
    what_programs_publish_is_looked_into_and_limited,
);

const HOSTS: [&str; 7] = [
    "api.github.com",
    "github.com",
    "registry.npmjs.org",
    "pypi.org",
    "upload.pypi.org",
    "crates.io",
    "index.crates.io",
];

/// A variable with a preset, and the value that the guard holds for it.
const SECRETS: [(&str, &str); 6] = [
    ("GITHUB_TOKEN", "canary-github-5d0a7e21"),
    ("NPM_TOKEN", "canary-npm-77d2b0c4"),
    ("PYPI_TOKEN", "canary-pypi-2c9e11d7"),
    ("TWINE_PASSWORD", "canary-pypi-1b40f9e3"),
    ("UV_PUBLISH_TOKEN", "canary-pypi-90ac6d52"),
    ("CARGO_REGISTRY_TOKEN", "canary-token-3e8f07aa"),
];

/// Makes what is published, with this many bytes that nothing packs: `/tmp/made/{npm,dist,cargo,git}`.
const MAKE: &str = "rm -rf /tmp/made && mkdir -p /tmp/made/npm /tmp/made/cargo/src /tmp/made/dist && cd /tmp/made
head -c SIZE /dev/urandom >npm/data && cp npm/data cargo/src/data && touch cargo/src/lib.rs
echo '{ \"name\": \"bottle-demo\", \"version\": \"VERSION.0.0\" }' >npm/package.json
printf '[package]\\nname = \"bottle-demo\"\\nversion = \"VERSION.0.0\"\\nedition = \"2021\"\\nlicense = \"MIT\"\\ndescription = \"a demo\"\\n' >cargo/Cargo.toml
/usr/bin/python3 - <<'END'
import zipfile
with zipfile.ZipFile('/tmp/made/dist/bottle_demo-1.0-py3-none-any.whl', 'w') as wheel:
    wheel.write('/tmp/made/npm/data', 'bottle_demo/data')
    wheel.writestr('bottle_demo-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: bottle-demo\\nVersion: 1.0\\n')
    wheel.writestr('bottle_demo-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    wheel.writestr('bottle_demo-1.0.dist-info/RECORD', '')
END";

const CLONE: &str = "cd /tmp/made && git clone -q https://github.com/project.git git";

const PUBLISH: [(&str, &str, &str); 5] = [
    (
        "git",
        "github.com",
        "cd /tmp/made/git && cp ../npm/data . && git add data && git -c user.name=A -c user.email=a@example.test commit -qm data && git push -q origin HEAD:main",
    ),
    (
        "npm",
        "registry.npmjs.org",
        "cd /tmp/made/npm && npm --cache /tmp/npm --fetch-retries 0 --registry https://registry.npmjs.org publish",
    ),
    (
        "twine",
        "upload.pypi.org",
        "PYTHONPATH=$PWD/python /usr/bin/python3 -m twine upload --non-interactive --disable-progress-bar /tmp/made/dist/*",
    ),
    ("uv", "upload.pypi.org", "uv --no-cache publish /tmp/made/dist/*"),
    (
        "cargo",
        "crates.io",
        "cd /tmp/made/cargo && CARGO_NET_RETRY=0 CARGO_HOME=/tmp/cargo cargo publish --allow-dirty --no-verify",
    ),
];

/// What asks, or gets what was published.
const GET: [(&str, &str); 6] = [
    ("gh", "test \"$(./gh api user --jq .login)\" = bottle"),
    ("npm whoami", "test \"$(npm --cache /tmp/npm --registry https://registry.npmjs.org whoami)\" = bottle"),
    (
        "npm ci",
        "mkdir -p /tmp/npm-got && cd /tmp/npm-got && echo '{}' >package.json && npm --cache /tmp/npm-got/one --registry https://registry.npmjs.org install bottle-demo \
         && rm -r node_modules && npm --cache /tmp/npm-got/two --registry https://registry.npmjs.org ci && cmp node_modules/bottle-demo/data /tmp/made/npm/data",
    ),
    (
        "pip",
        "PYTHONPATH=$PWD/python /usr/bin/python3 -m pip --disable-pip-version-check download --no-deps --index-url https://pypi.org/simple/ \
         --dest /tmp/got bottle-demo && cmp /tmp/got/*.whl /tmp/made/dist/*.whl",
    ),
    (
        "uv",
        "uv --no-cache pip install --python /usr/bin/python3 --no-deps --index-url https://pypi.org/simple/ --target /tmp/uv-got bottle-demo \
         && cmp /tmp/uv-got/bottle_demo/data /tmp/made/npm/data",
    ),
    (
        "cargo",
        "mkdir -p /tmp/needs/src && cd /tmp/needs && touch src/lib.rs && printf '[package]\\nname = \"needs\"\\n[dependencies]\\nbottle-demo = \"1\"\\n' \
         >Cargo.toml && CARGO_HOME=/tmp/cargo cargo fetch",
    ),
];

/// The registries, which end with their standard input.
struct Registries {
    child: Child,
    port: u16,
    ca: tempfile::NamedTempFile,
    requests: Receiver<Value>,
}

impl Registries {
    fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/e2e/intercept/registries.py");
        let mut command = Command::new("/usr/bin/python3");
        let mut child =
            command.arg(script).args(HOSTS).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = lines.next().and_then(|port| port.parse().ok()).expect("the registries say their port");
        let certificate = lines.by_ref().take_while(|line| line != "ready").collect::<Vec<_>>().join("\n");
        let ca = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(ca.path(), certificate).unwrap();
        let (sender, requests) = channel();
        std::thread::spawn(move || {
            lines.for_each(|line| {
                sender.send(serde_json::from_str(&line).unwrap()).ok();
            });
        });
        Self { child, port, ca, requests }
    }

    /// Returns what they were asked since the last time, up to the first request like this one.
    fn up_to(&self, is_last: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut seen: Vec<Value> = Vec::new();
        while !seen.last().is_some_and(&is_last) {
            let next = self.requests.recv_timeout(Duration::from_secs(20));
            seen.push(next.unwrap_or_else(|_| panic!("what was waited for has not arrived: {seen:#?}")));
        }
        seen
    }

    /// A home whose bottle has all of the secrets, and finds these registries by their names.
    fn home(&self, backend: Backend, agent: &str, more: &[&str]) -> Home {
        let at = ([127, 0, 0, 1], self.port).into();
        let above = HOSTS.iter().fold(Above::default(), |above, name| above.route(name, at));
        let above = above.serve(backend.host_address());
        let mut bottle = Bottle::new(above, &[self.ca.path()], "index.crates.io");
        let secrets = SECRETS.map(|(name, _)| format!("{name}: '${{MY_{name}}}'")).join(", ");
        bottle = bottle.line(&format!("secrets: {{ {secrets} }}"));
        bottle = bottle.line(match backend {
            Backend::Docker => "image: claude-bottle-workspaces:latest",
            _ => "tools: [~/.rustup, ~/.cargo/bin, ~/.local/bin/uv]",
        });
        let home = more.iter().fold(bottle, |bottle, line| bottle.egress(line)).home(&[agent]);
        install_tools(home.path());
        assert_code(&run(Command::new("cp").arg("-a").arg(publishers().join(".")).arg(home.work())), 0);
        home
    }
}

impl Drop for Registries {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().ok();
    }
}

fn publishers() -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/publishers").canonicalize();
    dir.expect("no programs that publish below .cache; make them: tests/setup/publishers.sh")
}

fn start(backend: Backend, home: &Home, agent: &str) -> Session {
    let mut start = backend.command(home, &["--quiet", "start", agent, "--yes", "--cwd", "--no-save"]);
    start.env("PATH", search_path(home.path()));
    start.envs(SECRETS.map(|(name, value)| (format!("MY_{name}"), value)));
    Session::start_by(start, home, agent)
}

fn programs_that_publish_work_with_the_placeholder_of_their_preset(backend: Backend) {
    let agent = &format!("e2e-publish-{}", backend.name());
    let registries = Registries::start();
    let home = registries.home(backend, agent, &[]);
    let mut inside = start(backend, &home, agent);
    inside.ok(&MAKE.replace("SIZE", "20000").replace("VERSION", "1"));
    inside.ok(CLONE);
    for script in PUBLISH.map(|(_, _, script)| script).into_iter().chain(GET.map(|(_, script)| script)) {
        inside.ok(&format!("timeout 100 sh -c '{}'", script.replace('\'', "'\\''")));
    }
    assert_eq!(inside.ok(SEARCH), "searched");
    // What the agent sees of all of it is its placeholder.
    inside.ok("curl -sS -o /dev/null https://crates.io/end");
    let seen = registries.up_to(|request| request["path"] == "/end");
    inside.end();

    let value = |name: &str| SECRETS.iter().find(|secret| secret.0 == name).unwrap().1;
    let basic =
        |user: &str, name: &str| format!("Basic {}", STANDARD.encode(format!("{user}:{}", value(name))));
    let npm = format!("Bearer {}", value("NPM_TOKEN"));
    for (method, host, path, credential) in [
        ("GET", "api.github.com", "/user", format!("token {}", value("GITHUB_TOKEN"))),
        ("POST", "github.com", "/project.git/git-receive-pack", basic("x-access-token", "GITHUB_TOKEN")),
        ("PUT", "registry.npmjs.org", "/bottle-demo", npm.clone()),
        ("GET", "registry.npmjs.org", "/-/whoami", npm.clone()),
        ("GET", "registry.npmjs.org", "/bottle-demo/-/bottle-demo-1.0.0.tgz", npm),
        ("POST", "upload.pypi.org", "/legacy/", basic("__token__", "TWINE_PASSWORD")),
        ("POST", "upload.pypi.org", "/legacy/", basic("__token__", "UV_PUBLISH_TOKEN")),
        ("GET", "pypi.org", "/simple/bottle-demo/", basic("__token__", "PYPI_TOKEN")),
        ("PUT", "crates.io", "/api/v1/crates/new", value("CARGO_REGISTRY_TOKEN").to_owned()),
    ] {
        let is_it = |request: &&Value| {
            (&request["method"], &request["host"], &request["path"])
                == (&method.into(), &host.into(), &path.into())
                && request["authorization"] == credential.as_str()
        };
        assert!(seen.iter().any(|request| is_it(&request)), "{method} {host}{path}: {seen:#?}");
    }
    let log = decisions(&home);
    assert!(log.iter().all(|line| line["verdict"] == "allow"), "{log:#?}");
    for (_, value) in SECRETS {
        assert_nowhere(&home, b"", value);
    }
    backend.assert_nothing_left(&home, agent);
}

#[expect(clippy::print_stdout, reason = "how long each took is to be seen by hand")]
fn what_programs_publish_is_looked_into_and_limited(backend: Backend) {
    let agent = &format!("e2e-uploads-{}", backend.name());
    let registries = Registries::start();
    let limits = HOSTS.map(|host| format!("{host}: 80m")).join(", ");
    let home = registries.home(backend, agent, &[&format!("upload_limit: {{ {limits} }}")]);
    let mut inside = start(backend, &home, agent);
    // The first fits, also twice where two go to one host; behind the second there is no room left.
    for (size, version, fits) in [("24000000", "1", true), ("90000000", "2", false)] {
        inside.ok(&MAKE.replace("SIZE", size).replace("VERSION", version));
        inside.ok(CLONE);
        for (name, host, script) in PUBLISH {
            let began = Instant::now();
            let said = inside.run(&format!("timeout 300 sh -c '{}'", script.replace('\'', "'\\''")));
            println!("{}: {name}, {size} bytes to {host}: {:.1?}", backend.name(), began.elapsed());
            assert_eq!(said.code == 0, fits, "{name}: {}", said.text);
        }
    }
    inside.end();
    let log = decisions(&home);
    let mut refused: Vec<_> = log.iter().filter(|line| line["verdict"] != "allow").collect();
    refused.sort_by_key(|line| line["host"].to_string());
    refused.dedup_by_key(|line| line["host"].to_string());
    let refused: Vec<_> = refused.iter().map(|line| (&line["host"], &line["code"])).collect();
    let expected = ["crates.io", "github.com", "registry.npmjs.org", "upload.pypi.org"].map(Value::from);
    let code = Value::from("upload_limit");
    assert_eq!(refused, expected.iter().map(|host| (host, &code)).collect::<Vec<_>>());
    let whole = |line: &&Value| line["path"].is_string() && line["bytes_up"].as_u64() > Some(24_000_000);
    let seen = log.iter().filter(whole).filter(|line| line["verdict"] == "allow").count();
    assert_eq!(seen, PUBLISH.len(), "what fits was looked into, request by request: {log:#?}");
    backend.assert_nothing_left(&home, agent);
}
