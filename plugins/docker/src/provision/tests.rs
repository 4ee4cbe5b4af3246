//! Provisioners on a recording guest: what is asked for, in which order, and what is never said aloud.

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;

use claude_bottle_plugin_api::{AgentSpec, Context, EnvVar, Owner, SkillSpec, SshEntry, Workspace};
use futures_util::StreamExt;

use super::files::Item;
use super::*;
use crate::granting;

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

    async fn run(&self, script: Script<'_>) -> Result<Output> {
        let who = if script.root { "root" } else { "agent" };
        self.steps.lock().unwrap().push(format!("{who}: {} {:?}", script.action, script.arguments));
        self.inputs.lock().unwrap().push(script.input.to_vec());
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
        skills_dir: "/home/node/.claude/skills",
        workspace: "/home/node/workspace".to_owned(),
        proxy: Some("http://172.30.0.2:8888"),
        bytes: 0,
    }
}

const KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ==\n-----END OPENSSH PRIVATE KEY-----\n";

#[test]
fn files_go_first_then_the_keys() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("id");
    fs::write(&key, KEY).unwrap();
    let mut spec = spec();
    spec.agent.prompt = "be brief".to_owned();
    spec.agent.skills.push(SkillSpec::new("s", dir.path()));
    spec.bottle.env.push(EnvVar::secret("TOKEN"));
    spec.bottle.ssh.push(SshEntry::new("git", "git.example.com", &key));
    survey(&spec).unwrap();
    let (guest, call) = (Recording::default(), granting::call(|_| "canary'\n".to_owned()));
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
    assert_eq!(String::from_utf8_lossy(&inputs[0]), format!("{KEY}\n"));
    let early = environment::input(&spec, &call).unwrap();
    let socket = "export SSH_AUTH_SOCK='/run/claude-bottle-agent-public.sock'\n";
    assert!(String::from_utf8_lossy(&early).contains(socket));
    assert!(String::from_utf8_lossy(&early).contains("export TOKEN='canary'\\''\n'\n"));
    assert!(!environment::command("/home/node", "/home/node/workspace", "exit").concat().contains("canary"));
    // The key is in the skill's directory on purpose here; the archive holds it there and nowhere else.
    let archive = String::from_utf8_lossy(&guest.archive.lock().unwrap()).into_owned();
    assert_eq!(archive.matches("PRIVATE KEY").count(), 2);
    assert!(!archive.contains("canary"));
}

#[test]
fn ssh_settings_lead_through_the_proxy_and_check_the_host_strictly() {
    let mut spec = spec();
    let mut entry = SshEntry::new("git", "git.example.com", "/k");
    entry.known_host_key = Some("git.example.com ssh-ed25519 AAAAC3 comment".to_owned());
    entry.port = 2222;
    spec.bottle.ssh = vec![entry, SshEntry::new("other.example.com", "other.example.com", "/k")];
    let mut files = Files::default();
    ssh::add(&task(&spec), &mut files).unwrap();
    let content = |name: &str| {
        let found = files.0.iter().find_map(|item| match item {
            Item::File { path, content, mode: 0o600, .. } if path.ends_with(name) => Some(content.clone()),
            _ => None,
        });
        String::from_utf8(found.unwrap()).unwrap()
    };
    assert_eq!(content("known_hosts"), "[git.example.com]:2222 ssh-ed25519 AAAAC3\n");
    assert_eq!(
        content("config"),
        "Host git git.example.com\n  HostName git.example.com\n  User git\n  Port 2222\n  \
         IdentityAgent /run/claude-bottle-agent-public.sock\n  StrictHostKeyChecking yes\n  \
         ProxyCommand socat - PROXY:172.30.0.2:%h:%p,proxyport=8888\n\
         Host other.example.com\n  HostName other.example.com\n  User git\n  Port 22\n  \
         IdentityAgent /run/claude-bottle-agent-public.sock\n  StrictHostKeyChecking accept-new\n  \
         ProxyCommand socat - PROXY:172.30.0.2:%h:%p,proxyport=8888\n"
    );
}

#[test]
fn keys_with_a_passphrase_and_words_with_a_meaning_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("id");
    let check = |key: &str, change: &dyn Fn(&mut SshEntry), expected: &str| {
        fs::write(&path, key).unwrap();
        let mut spec = spec();
        let mut entry = SshEntry::new("git", "git.example.com", &path);
        change(&mut entry);
        spec.bottle.ssh.push(entry);
        let message = ssh::survey(&spec).map_or_else(|failure| failure.message, |()| "taken".to_owned());
        assert!(message.contains(expected), "{message}");
    };
    let same = |_: &mut SshEntry| {};
    check(KEY, &same, "taken");
    check("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n", &same, "taken");
    check(&KEY.replace("G5vbmU", "GFlczI"), &same, "has a passphrase");
    check("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n", &same, "has a passphrase");
    check("-----BEGIN ENCRYPTED PRIVATE KEY-----\nx\n", &same, "has a passphrase");
    check("ssh-ed25519 AAAA", &same, "has a passphrase or is none");
    check(KEY, &|entry| entry.identity_file = "/nowhere".into(), "read the key");
    check(KEY, &|entry| entry.host = "a\n  ProxyCommand x".to_owned(), "no plain word");
    check(KEY, &|entry| entry.user = "$(id)".to_owned(), "no plain word");
    check(KEY, &|entry| entry.hostname = "-oProxyCommand=x".to_owned(), "no plain word");
    check(KEY, &|entry| entry.known_host_key = Some("nonsense".to_owned()), "no public key");
    check(KEY, &|entry| entry.known_host_key = Some("ssh-rsa A\n* ssh-rsa B".to_owned()), "no public key");
}

/// Runs the host's git, for fixtures alone.
fn git(dir: &std::path::Path, words: &[&str]) {
    let identity = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "protocol.file.allow=always"];
    let mut command = std::process::Command::new("git");
    command.args(identity).args(words).current_dir(dir).env("HOME", dir).env("GIT_CONFIG_NOSYSTEM", "1");
    let output = command.output().unwrap();
    assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Puts the files together as the bottle would see them, and returns where the workspace is.
fn unpacked(workspace: &std::path::Path, into: &std::path::Path) -> PathBuf {
    let mut spec = spec();
    spec.workspace = Some(Workspace::new(workspace));
    survey(&spec).unwrap();
    let (task, mut files) = (task(&spec), Files::default());
    workspace::add(&task, &mut files).unwrap();
    git::add(&task, &mut files).unwrap();
    let guest = Recording::default();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(files.send(&guest, |_| {})).unwrap();
    tar::Archive::new(guest.archive.lock().unwrap().as_slice()).unpack(into).unwrap();
    into.join("home/node/workspace")
}

#[test]
fn repository_worktree_and_submodule_are_as_clean_inside_as_on_the_host() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("repo");
    fs::create_dir(&repo).unwrap();
    git(&repo, &["init", "-q", "-b", "main"]);
    fs::write(repo.join("file"), "one\n").unwrap();
    git(&repo, &["add", "."]);
    git(&repo, &["commit", "-qm", "first"]);
    git(&repo, &["worktree", "add", "-q", "-b", "side", "../tree"]);
    let outer = dir.path().join("outer");
    fs::create_dir(&outer).unwrap();
    git(&outer, &["init", "-q"]);
    git(&outer, &["submodule", "--quiet", "add", "../repo", "sub"]);
    for (n, (source, branch)) in
        [(repo, "main"), (dir.path().join("tree"), "side"), (outer.join("sub"), "main")]
            .into_iter()
            .enumerate()
    {
        fs::write(source.join("new"), "uncommitted").unwrap();
        let inside = unpacked(&source, &dir.path().join(format!("bottle-{n}")));
        let said = |words: &[&str]| {
            let output = std::process::Command::new("git").args(words).current_dir(&inside).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(said(&["status", "--porcelain"]), "?? new\n", "{}", source.display());
        assert_eq!(said(&["branch", "--show-current"]), format!("{branch}\n"));
        assert!(said(&["log", "--oneline"]).ends_with("first\n"));
    }
}
