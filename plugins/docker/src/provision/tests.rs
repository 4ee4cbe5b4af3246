//! Provisioners on a recording guest: what is asked for, in which order, and what is never in an argument.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Mutex;

use claude_bottle_plugin_api::{AgentSpec, Context, EnvVar, Owner, SkillSpec, SshEntry};
use futures_util::StreamExt;

use super::*;
use crate::test_host;

/// A guest that keeps what it is given.
#[derive(Default)]
struct Recording {
    steps: Mutex<Vec<String>>,
    archive: Mutex<Vec<u8>>,
    inputs: Mutex<Vec<Vec<u8>>>,
}

impl Guest for Recording {
    async fn put(&self, mut archive: Body) -> Result<()> {
        while let Some(chunk) = archive.next().await {
            self.archive.lock().unwrap().extend(chunk.unwrap());
        }
        self.steps.lock().unwrap().push("put".to_owned());
        Ok(())
    }

    async fn run(&self, command: Command) -> Result<Output> {
        let who = if command.root { "root" } else { "agent" };
        self.steps.lock().unwrap().push(format!("{who}: {} {:?}", command.action, command.words));
        self.inputs.lock().unwrap().push(command.input.to_vec());
        Ok(Output::default())
    }
}

fn spec() -> Spec {
    Spec::new("dev-1", AgentSpec::new("dev", vec!["claude".to_owned()]), Owner::new("h", 1, 1))
}

fn task(spec: &Spec) -> Task<'_> {
    Task {
        spec,
        home: "/home/node",
        owner: (1000, 1000),
        skills_dir: "/home/node/.claude/skills".to_owned(),
        place: Place::of(spec, "/home/node", |_| true),
        has_place: true,
        proxy: Some("http://172.30.0.2:8888"),
        bytes: 0,
    }
}

/// Makes a key, and returns its path and its text.
fn make_key(dir: &std::path::Path) -> (PathBuf, String) {
    let path = dir.join("id");
    let mut keygen = std::process::Command::new("ssh-keygen");
    let status = keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&path).status().unwrap();
    assert!(status.success());
    let text = fs::read_to_string(&path).unwrap();
    (path, text)
}

#[test]
fn files_go_first_then_the_keys() {
    let dir = tempfile::tempdir().unwrap();
    let (key, text) = make_key(dir.path());
    let mut spec = spec();
    spec.agent.prompt = "be brief".to_owned();
    spec.agent.skills.push(SkillSpec::new("s", dir.path()));
    spec.bottle.env.push(EnvVar::secret("TOKEN"));
    spec.bottle.ssh.push(SshEntry::new("git", "git.example.com", &key));
    survey(&spec).unwrap();
    let (guest, call) = (Recording::default(), test_host::call(|_| "canary'\n".to_owned()));
    let config = Config::read(&Context::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let unknown = Task { proxy: None, ..task(&spec) };
    runtime.block_on(copy_in(&guest, &call, &unknown, &config)).unwrap();
    let done = runtime.block_on(set_up(&guest, &call, &task(&spec), &config)).unwrap();
    assert_eq!(done.prompt_path.as_deref(), Some("/home/node/.claude-bottle-prompt.txt"));
    let steps = guest.steps.lock().unwrap().clone();
    assert_eq!(steps[..2], ["put", "put"]);
    assert!(steps[2].starts_with("root: start the ssh agent"), "{steps:?}");
    assert!(!steps.concat().contains("canary") && !steps.concat().contains("b3Blbn"), "{steps:?}");
    let inputs = guest.inputs.lock().unwrap();
    assert_eq!(String::from_utf8_lossy(&inputs[0]), text);
    // The key is in the skill's directory on purpose here; the archive holds it there and nowhere else.
    let archive = String::from_utf8_lossy(&guest.archive.lock().unwrap()).into_owned();
    assert_eq!(archive.matches("PRIVATE KEY").count(), 2);
    assert!(!archive.contains("canary"));
}

#[test]
fn ssh_settings_lead_through_the_proxy_and_offer_the_hosts_own_key() {
    let dir = tempfile::tempdir().unwrap();
    let (key, _) = make_key(dir.path());
    let mut spec = spec();
    spec.bottle.ssh =
        vec![SshEntry::new("git", "git.example.com", &key), SshEntry::new("six", "2001:db8::1", &key)];
    let mut files = Files::of((1000, 1000));
    ssh::add(&task(&spec), &mut files).unwrap();
    let mut archive = Vec::new();
    files.write_to(&mut archive).unwrap();
    let content = |name: &str| {
        let mut archive = tar::Archive::new(archive.as_slice());
        let mut entries = archive.entries().unwrap().map(|entry| entry.unwrap());
        let mut found = entries.find(|entry| entry.path().unwrap().ends_with(name)).unwrap();
        assert_eq!(found.header().mode().unwrap() & 0o777, 0o600);
        let mut content = String::new();
        found.read_to_string(&mut content).unwrap();
        content
    };
    let block = |name: &str, host: &str| {
        format!(
            "Host {name} {host}\n  HostName {host}\n  User git\n  Port 22\n  \
             IdentityAgent /run/claude-bottle-agent-public.sock\n  \
             IdentityFile ~/.ssh/claude-bottle-1.pub\n  IdentitiesOnly yes\n  \
             StrictHostKeyChecking accept-new\n  \
             ProxyCommand /run/claude-bottle-link/bottle-guest connect 172.30.0.2:8888 %h %p\n\n"
        )
    };
    let expected = block("git", "git.example.com") + &block("six", "2001:db8::1");
    assert_eq!(content("config"), expected);
    let public = fs::read_to_string(key.with_extension("pub")).unwrap();
    assert!(public.starts_with(content("claude-bottle-1.pub").trim()));
}
