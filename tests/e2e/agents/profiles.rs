//! The real programs of the profiles, each in a bottle: its first start asks nothing, and its first request reaches a stand-in of its
//! API with the key and the prompt of the manifest.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use claude_bottle_standin::{Recorded, Script};

use crate::support::backend::{Backend, on_each_backend};
use crate::support::home::Home;
use crate::support::{assert_code, run, standin, stderr, stdout};

on_each_backend!(
    a_shell_runs_a_command_and_reaches_no_host_of_an_agent,
    #[ignore = "takes the network and minutes: make test-agents"]
    codex_answers_from_inside,
    #[ignore = "takes the network and minutes: make test-agents"]
    gemini_answers_from_inside,
    #[ignore = "takes the network and minutes: make test-agents"]
    opencode_answers_from_inside,
    #[ignore = "takes the network and minutes: make test-agents"]
    aider_answers_from_inside,
);

const REPLY: &str = "Hello from the stand-in.";
const KEY: &str = "sk-canary-of-another-agent-5f1e0c9d7b";

/// An agent of a profile, and what its program is told of the stand-in.
struct Case {
    profile: &'static str,
    /// The variable with its key.
    key: &'static str,
    /// More variables of the bottle, in which `@api` is the stand-in's address.
    env: &'static str,
    /// Its settings, in the same way.
    settings: &'static str,
    arguments: &'static [&'static str],
    /// How the path of a request for a message ends, before its query.
    path: &'static str,
}

impl Case {
    fn answers(&self, backend: Backend) {
        let agent = &format!("e2e-{}-{}", self.profile, backend.name());
        let api = standin(backend, Script { reply: REPLY.to_owned(), run: None });
        let (address, port) = (api.address().ip(), api.address().port());
        let filled = |text: &str| text.replace("@api", &format!("http://api.standin.test:{port}"));
        let (env, settings) = (filled(self.env), filled(self.settings));
        let home = Home::new(&format!(
            "bottles:\n  dev:\n    env: {{ {key}: '${{{key}}}'{env} }}\n    egress:\n      \
             allowlist: ['api.standin.test:{port}']\n      hosts: {{ api.standin.test: {address} }}\n      \
             private: [{{ host: api.standin.test, range: {address}/32 }}]\nagents:\n  {agent}:\n    bottle: dev\n    \
             profile: {profile}\n    prompt: The password of the day is xyzzy-42.\n{settings}",
            key = self.key,
            profile = self.profile,
        ));
        let mut arguments = vec!["start", agent, "--cwd", "--print", "Say hello"];
        arguments.push("--");
        arguments.extend(self.arguments);
        let mut start = backend.command(&home, &arguments);
        start.env(self.key, KEY);
        if backend == Backend::Bubblewrap {
            start.env("PATH", path_with_the_agents());
        }
        let output = run(&mut start);
        assert_code(&output, 0);
        assert!(stdout(&output).contains(REPLY), "{}\n{}", stdout(&output), stderr(&output));
        let is_asked = |request: &&Recorded| {
            request.path.split('?').next().is_some_and(|path| path.ends_with(self.path))
                && request.body.to_string().contains("Say hello")
        };
        let requests = api.requests();
        let paths: Vec<_> = requests.iter().map(|request| request.path.as_str()).collect();
        let request = requests.iter().find(is_asked).unwrap_or_else(|| panic!("{paths:?}"));
        assert!(request.headers.values().any(|value| value.contains(KEY)), "{:?}", request.headers);
        assert!(requests.iter().any(|request| request.body.to_string().contains("xyzzy-42")), "{paths:?}");
        let found = run(std::process::Command::new("grep").args(["-rl", KEY]).arg(home.path()));
        assert_eq!(stdout(&found), "", "the key is on the disk");
        backend.assert_nothing_left(&home, agent);
    }
}

fn codex_answers_from_inside(backend: Backend) {
    let case = Case {
        profile: "codex",
        key: "OPENAI_API_KEY",
        env: ", OPENAI_BASE_URL: @api/v1",
        settings: "    settings: { model_providers: { api-key: { base_url: '@api/v1' } } }\n",
        arguments: &[],
        path: "/v1/responses",
    };
    case.answers(backend);
}

fn gemini_answers_from_inside(backend: Backend) {
    let case = Case {
        profile: "gemini",
        key: "GEMINI_API_KEY",
        env: ", GOOGLE_GEMINI_BASE_URL: @api",
        settings: "",
        arguments: &["--model", "gemini-2.5-flash"],
        path: ":streamGenerateContent",
    };
    case.answers(backend);
}

fn opencode_answers_from_inside(backend: Backend) {
    let case = Case {
        profile: "opencode",
        key: "OPENAI_API_KEY",
        env: ", OPENAI_BASE_URL: @api/v1",
        settings: "    settings:\n      model: st/m\n      provider:\n        st:\n          \
                   npm: '@ai-sdk/openai-compatible'\n          models: { m: {} }\n          \
                   options: { baseURL: '@api/v1', apiKey: '{env:OPENAI_API_KEY}' }\n",
        arguments: &[],
        path: "/chat/completions",
    };
    case.answers(backend);
}

fn aider_answers_from_inside(backend: Backend) {
    let case = Case {
        profile: "aider",
        key: "OPENAI_API_KEY",
        env: ", OPENAI_API_BASE: @api/v1",
        settings: "",
        arguments: &["--model", "openai/m", "--no-git", "--no-show-model-warnings"],
        path: "/chat/completions",
    };
    case.answers(backend);
}

fn a_shell_runs_a_command_and_reaches_no_host_of_an_agent(backend: Backend) {
    let agent = &format!("e2e-shell-{}", backend.name());
    let home =
        Home::new(&format!("bottles:\n  dev: {{}}\nagents:\n  {agent}: {{ bottle: dev, profile: shell }}\n"));
    let look = "id -un; curl -s -o /dev/null -w '%{http_code}\\n' http://api.anthropic.com/; ls -A ~/.claude ~/.claude.json; true";
    let mut start = backend.command(&home, &["start", agent, "--print", look]);
    let output = run(start.env("CLAUDE_BOTTLE_OAUTH_TOKEN", "canary"));
    assert_code(&output, 0);
    assert_eq!(stdout(&output), "node\n403\n", "{}", stderr(&output));
    assert!(
        stderr(&output).contains("secrets    none") && !stderr(&output).contains("CLAUDE_CODE_OAUTH_TOKEN")
    );
    backend.assert_nothing_left(&home, agent);
}

/// Returns the search path with the programs of `tests/setup/agents.sh` first.
fn path_with_the_agents() -> OsString {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
    let agents = root.join(".cache/agents");
    let places = [agents.join("node_modules/.bin"), agents.join("aider/bin")];
    assert!(places[0].join("codex").exists(), "no agents below .cache; make them: tests/setup/agents.sh");
    let own: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    std::env::join_paths(places.into_iter().chain(own)).unwrap()
}
