//! SSH keys end to end: a real sshd outside, the real ssh and git inside, the guard between them, on each backend.

use std::fs;
use std::io::Write;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::support::backend::{Backend, on_a_cluster, on_each_backend_and_podman};
use crate::support::home::Home;
use crate::support::sshd::{Sshd, make_key, public_key, user};
use crate::support::{assert_code, engine, run, stderr, stdout};

on_each_backend_and_podman!(
    a_granted_key_logs_in_clones_pushes_and_signs,
    the_key_cannot_be_read,
    a_wrong_host_key_is_refused,
    a_key_with_a_passphrase_is_refused_before_anything_is_made,
    a_port_that_is_not_granted_is_refused_and_logged,
    each_host_is_offered_its_own_key,
    an_address_of_ipv6_is_asked_for_as_one,
);
on_a_cluster!(
    a_granted_key_logs_in_clones_pushes_and_signs,
    the_key_cannot_be_read,
    a_wrong_host_key_is_refused,
    a_key_with_a_passphrase_is_refused_before_anything_is_made,
    each_host_is_offered_its_own_key,
);

/// Finds the socket as every ssh inside does.
const SOCKET: &str = "export SSH_AUTH_SOCK=$(ssh -G forge | sed -n 's/^identityagent //p')";

/// Makes a home with one agent, a shell that reads `script.sh`, in a bottle with one key for one server.
fn home(agent: &str, server: SocketAddr, host_key: &str) -> Home {
    let (address, port, user) = (server.ip(), server.port(), user());
    Home::new(&format!(
        "\
bottles:
  dev:
    ssh:
      - Host: forge
        Hostname: {address}
        Port: {port}
        User: {user}
        IdentityFile: ~/id
        KnownHostKey: {host_key}
agents:
  {agent}: {{ bottle: dev, command: [sh, script.sh] }}
"
    ))
}

fn identity(home: &Home) -> PathBuf {
    home.path().join("id")
}

/// Runs the agent with this script and input.
fn start(backend: Backend, home: &Home, agent: &str, script: &str, input: &str) -> Output {
    fs::write(home.work().join("script.sh"), script).unwrap();
    let mut command = backend.command(home, &["--quiet", "start", agent, "--yes", "--cwd"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that refuses to start does not read; its message tells more than the broken pipe.
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    child.wait_with_output().unwrap()
}

/// A key of the test's own that may log in, and the server it may log in to.
///
/// The manifest has to name the server, and the server the key, so the key comes first.
fn server_and_home(backend: Backend, agent: &str, host_key: Option<&str>) -> (Sshd, Home) {
    let keys = tempfile::tempdir().unwrap();
    let key = keys.path().join("id");
    make_key(&key, "");
    let sshd = Sshd::start(backend.host_address(), &key.with_extension("pub"));
    let own = sshd.host_key();
    let home = home(agent, sshd.address(), host_key.unwrap_or(&own));
    for extension in ["", "pub"] {
        fs::copy(key.with_extension(extension), identity(&home).with_extension(extension)).unwrap();
    }
    (sshd, home)
}

/// Runs git on the host, with nothing of the user's settings.
#[track_caller]
pub(crate) fn git(dir: &Path, arguments: &[&str]) -> String {
    let mut git = Command::new("git");
    git.current_dir(dir).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    git.args(["-c", "user.name=a", "-c", "user.email=a@example.test"]).args(arguments);
    let output = run(&mut git);
    assert!(output.status.success(), "git {arguments:?}: {}", stderr(&output));
    stdout(&output)
}

/// Makes a bare repository with one commit, and returns its path.
fn bare_repository(home: &Home) -> PathBuf {
    let (tree, bare) = (home.path().join("tree"), home.path().join("repo.git"));
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("note.txt"), "as it was\n").unwrap();
    git(&tree, &["init", "--quiet", "--initial-branch=main"]);
    git(&tree, &["add", "note.txt"]);
    git(&tree, &["commit", "--quiet", "--message=first"]);
    git(home.path(), &["clone", "--quiet", "--bare", "tree", "repo.git"]);
    bare
}

fn a_granted_key_logs_in_clones_pushes_and_signs(backend: Backend) {
    let agent = &format!("e2e-ssh-granted-{}", backend.name());
    let (sshd, home) = server_and_home(backend, agent, None);
    let bare = bare_repository(&home);
    let script = format!(
        "set -eu
        ssh forge 'echo logged in'
        git clone --quiet ssh://forge{} copy
        cat copy/note.txt
        echo more >>copy/note.txt
        git -C copy -c user.name=a -c user.email=a@example.test commit --quiet --all --message=second
        git -C copy push --quiet
        {SOCKET}
        ssh-add -l >/dev/null
        ssh-add -L >/tmp/id.pub
        printf text | ssh-keygen -q -Y sign -n file -f /tmp/id.pub",
        bare.display()
    );
    let output = start(backend, &home, agent, &script, "");
    assert_code(&output, 0);
    let text = stdout(&output);
    let signature = text.strip_prefix("logged in\nas it was\n").unwrap_or_else(|| panic!("{text}"));
    assert_verifies(&home, signature);
    assert_eq!(git(&bare, &["log", "--format=%s", "main"]), "second\nfirst\n");

    let port = sshd.address().port();
    let logged = home.decisions();
    let allowed = |line: &&serde_json::Value| line["port"] == port && line["event"] == "request";
    let lines: Vec<_> = logged.iter().filter(allowed).collect();
    assert_eq!(lines.len(), 3, "login, clone and push: {logged:?}");
    assert!(lines.iter().all(|line| line["verdict"] == "allow"), "{lines:?}");
    let said = sshd.finish();
    assert_eq!(said.iter().filter(|line| line.contains("Accepted publickey")).count(), 3, "{said:?}");
    backend.assert_nothing_left(&home, agent);
}

/// Fails unless it is a signature of `text` by the granted key.
#[track_caller]
fn assert_verifies(home: &Home, signature: &str) {
    let (signers, file) = (home.path().join("signers"), home.path().join("text.sig"));
    fs::write(&signers, format!("agent {}\n", public_key(&identity(home)))).unwrap();
    fs::write(&file, signature).unwrap();
    let mut verify = Command::new("sh");
    verify.args(["-c", "printf text | ssh-keygen -Y verify -I agent -n file -f \"$0\" -s \"$1\""]);
    let output = run(verify.args([&signers, &file]));
    assert!(output.status.success(), "{}{signature}", stderr(&output));
}

fn the_key_cannot_be_read(backend: Backend) {
    let agent = &format!("e2e-ssh-read-{}", backend.name());
    // A minute for a clock that is read coarsely.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() - Duration::from_secs(60);
    let (_sshd, home) = server_and_home(backend, agent, None);
    fs::write(home.work().join("key-search.pl"), include_str!("support/key-search.pl")).unwrap();
    let key = fs::read_to_string(identity(&home)).unwrap();
    let reversed: String = key.chars().rev().collect();
    // gVisor lets everybody make a user namespace, whose powers are to reach no further than without.
    let gvisor = backend == Backend::Docker && engine::has_gvisor();
    let way = if gvisor { "unshare --user --map-root-user" } else { "" };
    let script = format!("{SOCKET}; ssh-add -l && {way} perl key-search.pl {}", since.as_secs());
    let output = start(backend, &home, agent, &script, &reversed);
    assert_code(&output, 0);
    let found = stdout(&output);

    assert!(found.contains("made-by-a-test (ED25519)"), "the key can be used:\n{found}");
    for control in ["control file: /tmp/planted", "control environ: sleep", "control descriptor: sleep"] {
        assert!(found.contains(control), "the search does not find `{control}`:\n{found}");
    }
    assert!(!found.lines().any(|line| line.starts_with("key ")), "{found}");
    // What has the key or stands between it and the agent; outside of Docker ssh-agent is in no sight of the agent.
    let closed: &[&str] = match backend {
        // In gVisor process 1, which knows no key, can be opened by its own user.
        Backend::Docker if gvisor => &["ssh-agent", "ssh-bridge"],
        Backend::Docker => &["ssh-agent", "ssh-bridge", "bottle-guest"],
        Backend::Bubblewrap | Backend::Podman | Backend::Kubernetes => &["bottle-guest"],
    };
    // gVisor keeps memory from others, but not the environment and the list of descriptors, in which the key is not.
    let open = if gvisor { "environ cmdline descriptors" } else { "cmdline" };
    for name in closed {
        assert!(found.contains(&format!("\nprocess {name}: {open}\n")), "`{name}` can be opened:\n{found}");
    }
    assert_eq!(found.contains("process ssh-agent:"), backend == Backend::Docker, "{found}");
    assert_nowhere_but_in_its_file(&home, &key);
    backend.assert_nothing_left(&home, agent);
}

/// Searches the home, which holds the records, for a line of the key.
#[track_caller]
fn assert_nowhere_but_in_its_file(home: &Home, key: &str) {
    let secret = key.lines().nth(4).unwrap();
    let found = run(Command::new("grep").args(["-rlF", secret]).arg(home.path()));
    assert_eq!(stdout(&found).trim(), identity(home).display().to_string());
}

fn a_wrong_host_key_is_refused(backend: Backend) {
    let agent = &format!("e2e-ssh-wrong-{}", backend.name());
    let other = tempfile::tempdir().unwrap();
    make_key(&other.path().join("other"), "");
    let wrong = public_key(&other.path().join("other"));
    let (sshd, home) = server_and_home(backend, agent, Some(&wrong));
    let output = start(backend, &home, agent, "ssh forge 'echo logged in'", "");
    assert_code(&output, 255);
    assert_eq!(stdout(&output), "");
    assert!(stderr(&output).contains("Host key verification failed"), "{}", stderr(&output));
    let said = sshd.finish();
    assert!(said.iter().any(|line| line.contains("Connection from")), "it was reached: {said:?}");
    assert!(!said.iter().any(|line| line.contains("Accepted")), "{said:?}");
    backend.assert_nothing_left(&home, agent);
}

fn a_key_with_a_passphrase_is_refused_before_anything_is_made(backend: Backend) {
    let agent = &format!("e2e-ssh-locked-{}", backend.name());
    let home = home(agent, SocketAddr::new(backend.host_address(), 22), "ssh-ed25519 AAAA");
    make_key(&identity(&home), "locked");
    // A dry run prepares and does nothing else: that is where it has to be refused.
    for arguments in [&["start", agent, "--dry-run"][..], &["start", agent, "--yes"]] {
        let output = run(&mut backend.command(&home, arguments));
        assert_code(&output, 125);
        let said = stderr(&output);
        let path = identity(&home).display().to_string();
        assert!(said.contains("has a passphrase") && said.contains(&path), "{said}");
        assert!(said.contains("ssh-keygen -p -N ''"), "it says what to do: {said}");
        backend.assert_nothing_left(&home, agent);
    }
}

fn a_port_that_is_not_granted_is_refused_and_logged(backend: Backend) {
    let agent = &format!("e2e-ssh-port-{}", backend.name());
    let (sshd, home) = server_and_home(backend, agent, None);
    let other = TcpListener::bind((backend.host_address(), 0)).unwrap();
    other.set_nonblocking(true).unwrap();
    let port = other.local_addr().unwrap().port();
    let output = start(backend, &home, agent, &format!("ssh -p {port} forge 'echo logged in'"), "");
    assert_code(&output, 255);
    assert_eq!(stdout(&output), "");

    let logged = home.decisions();
    let lines: Vec<_> = logged.iter().filter(|line| line["port"] == port).collect();
    assert_eq!(lines.len(), 1, "{logged:?}");
    let (verdict, code) = (&lines[0]["verdict"], &lines[0]["code"]);
    assert_eq!((verdict, code), (&"deny".into(), &"port_not_allowed".into()), "{}", lines[0]);
    assert_eq!(lines[0]["host"], sshd.address().ip().to_string());
    assert_eq!(other.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "nothing arrived");
    backend.assert_nothing_left(&home, agent);
}

/// Two accounts at one server, as a private and a business one at a forge: the key tells which.
fn each_host_is_offered_its_own_key(backend: Backend) {
    let agent = &format!("e2e-ssh-two-{}", backend.name());
    let keys = tempfile::tempdir().unwrap();
    let mut allowed = String::new();
    for account in ["business", "private"] {
        make_key(&keys.path().join(account), "");
        let public = public_key(&keys.path().join(account));
        allowed.push_str(&format!("command=\"echo {account}\" {public}\n"));
    }
    fs::write(keys.path().join("allowed"), allowed).unwrap();
    let sshd = Sshd::start(backend.host_address(), &keys.path().join("allowed"));
    let (address, port, user) = (sshd.address().ip(), sshd.address().port(), user());
    let entry = |account: &str| {
        format!(
            "      - {{ Host: forge-{account}, Hostname: {address}, Port: {port}, User: {user}, \
             IdentityFile: ~/{account}, KnownHostKey: {} }}\n",
            sshd.host_key()
        )
    };
    let home = Home::new(&format!(
        "bottles:\n  dev:\n    ssh:\n{}{}agents:\n  {agent}: {{ bottle: dev, command: [sh, script.sh] }}\n",
        entry("business"),
        entry("private")
    ));
    for account in ["business", "private"] {
        fs::copy(keys.path().join(account), home.path().join(account)).unwrap();
    }
    // Each as the first and as the last; and by its real name, which is the first entry's.
    let script =
        format!("for name in business private business; do ssh forge-$name x; done; ssh {address} x");
    let output = start(backend, &home, agent, &script, "");
    assert_code(&output, 0);
    assert_eq!(stdout(&output), "business\nprivate\nbusiness\nbusiness\n", "{}", stderr(&output));
    backend.assert_nothing_left(&home, agent);
}

fn an_address_of_ipv6_is_asked_for_as_one(backend: Backend) {
    let agent = &format!("e2e-ssh-six-{}", backend.name());
    let keys = tempfile::tempdir().unwrap();
    make_key(&keys.path().join("id"), "");
    let sshd = Sshd::start(Ipv6Addr::LOCALHOST.into(), &keys.path().join("id.pub"));
    let port = sshd.address().port();
    let home = home(agent, sshd.address(), &sshd.host_key());
    fs::copy(keys.path().join("id"), identity(&home)).unwrap();
    let output = start(backend, &home, agent, "ssh forge 'echo logged in'", "");
    // The loopback of a guard that is a process of this machine is this machine's.
    assert_eq!((output.status.code(), &*stdout(&output)), (Some(0), "logged in\n"), "{}", stderr(&output));
    let logged = home.decisions();
    let asked = |line: &&serde_json::Value| line["host"] == "[::1]" && line["port"] == port;
    assert!(logged.iter().any(|line| asked(&line) && line["rule"] == format!("[::1]:{port}")), "{logged:?}");
    backend.assert_nothing_left(&home, agent);
}
