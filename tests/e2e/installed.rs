//! What a user installs, in a fresh root of the distribution: the Debian package by apt, from the first answer to nothing
//! left, and the release's tarball by the script that verifies it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

use claude_bottle_standin::{Script, ToolCall, as_by_hand};
use tempfile::TempDir;

use crate::first_run::pointed_at;
use crate::support::backend::Backend;
use crate::support::engine::docker;
use crate::support::home::{TOKEN, manifest};
use crate::support::{assert_code, run, standin, stderr, stdout};

const REPLY: &str = "Hello from the package.";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Prepares making the release files of the built program, as of a version.
fn packaging(version: &str, out: &Path) -> Command {
    let mut make = Command::new("make");
    make.args(["--no-print-directory", "package", "BUILD=debug", &format!("VERSION={version}")]);
    make.arg(format!("DIST={}", out.display())).env("GZIP_LEVEL", "1").current_dir(root());
    as_by_hand(&mut make);
    make
}

/// All of them pass by one directory.
static STAGE: Mutex<()> = Mutex::new(());

fn package(version: &str, out: &Path) {
    let _stage = STAGE.lock();
    assert_code(&run(&mut packaging(version, out)), 0);
}

fn package_signed(version: &str, out: &Path, key: &Path) {
    let _stage = STAGE.lock();
    assert_code(&run(packaging(version, out).env("SIGNING_KEY", key)), 0);
}

/// A container of the distribution, with nothing of ours but files to install; it goes with the test.
struct Machine(String);

impl Machine {
    fn start(files: &Path) -> Self {
        let image =
            std::env::var("CLAUDE_BOTTLE_BASE_IMAGE").expect("a base image: tests/setup/base-image.sh");
        let claude =
            root().join(".cache/claude").canonicalize().expect("no Claude Code CLI: tests/setup/claude.sh");
        let mounts =
            [format!("{}:/files:ro", files.display()), format!("{}:/srv/claude:ro", claude.display())];
        // What docs/bubblewrap.md says that a container needs.
        let leave = ["--security-opt", "seccomp=unconfined", "--security-opt", "systempaths=unconfined"];
        let place = ["--network", "claude-bottle-tests", "--volume", &mounts[0], "--volume", &mounts[1]];
        let words =
            [&["run", "--detach", "--rm", "--init"], &leave[..], &place, &[&image, "sleep", "infinity"]];
        let machine = Self(docker(&words.concat()).trim().to_owned());
        machine.apt(&["update"]);
        machine
    }

    /// Runs apt-get as root.
    fn apt(&self, arguments: &[&str]) {
        let words =
            ["exec", "--env", "DEBIAN_FRONTEND=noninteractive", &self.0, "apt-get", "--quiet=2", "--yes"];
        docker(&[&words[..], arguments].concat());
    }

    /// Installs the package of a version, and what it recommends.
    fn install(&self, version: &str) {
        let architecture = docker(&["exec", &self.0, "dpkg", "--print-architecture"]);
        self.apt(&["install", &format!("/files/claude-bottle_{version}_{}.deb", architecture.trim())]);
    }

    /// Prepares a command of an ordinary user's, who has the CLI and a token.
    fn user(&self, command: &[&str]) -> Command {
        let mut docker = Command::new("docker");
        docker.args(["exec", "--interactive", "--user", "node", "--workdir", "/home/node"]);
        docker.args(["--env", "CLAUDE_BOTTLE_BACKEND=bubblewrap", "--env", "CLAUDE_BOTTLE_OAUTH_TOKEN"]);
        docker.args([
            "--env",
            "PATH=/srv/claude/node_modules/.bin:/usr/bin:/bin",
            "--env",
            "HOME=/home/node",
        ]);
        docker.env("CLAUDE_BOTTLE_OAUTH_TOKEN", TOKEN).arg(&self.0).args(command).stdin(Stdio::null());
        docker
    }

    /// Calls the installed program.
    fn call(&self, arguments: &[&str]) -> Output {
        run(&mut self.user(&[&["claude-bottle"], arguments].concat()))
    }

    /// Writes a file of the user's home.
    fn write(&self, name: &str, text: &str) {
        let mut child =
            self.user(&["tee", name]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    /// Lists the files that are not a user's and not what apt and dpkg keep of their own work.
    fn files(&self) -> Vec<String> {
        let kept = [
            "/proc",
            "/sys",
            "/dev",
            "/var/lib/apt",
            "/var/lib/dpkg",
            "/var/cache",
            "/var/log",
            "/home",
            "/tmp",
        ];
        let mut words = vec!["exec", &self.0, "find", "/", "-xdev", "("];
        words.extend(kept.iter().flat_map(|path| ["-path", path, "-o"]));
        words.extend(["-false", ")", "-prune", "-o", "-print"]);
        let mut files: Vec<_> = docker(&words).lines().map(str::to_owned).collect();
        files.sort();
        files
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        docker(&["rm", "--force", &self.0]);
    }
}

/// The way that README.md shows, from an empty home: the agent answers, and what it did is taken.
fn first_answer(machine: &Machine, api: SocketAddr) {
    let shell = |line: &str| run(&mut machine.user(&["sh", "-ec", line]));
    let init = shell("mkdir project && cd project && echo '{}' >package.json && claude-bottle init --yes");
    assert_code(&init, 0);
    assert!(stderr(&init).contains("claude-bottle start claude --cwd"), "{}", stderr(&init));
    // The stand-in for the API is nothing that a manifest would name.
    let written = stdout(&shell("cat claude-bottle.yaml"));
    machine.write("claude-bottle.yaml", &pointed_at(&written, api));
    let doctor = machine.call(&["doctor"]);
    assert!(stdout(&doctor).contains("bubblewrap (selected): usable"), "{}", stdout(&doctor));
    let start = shell("cd project && claude-bottle start claude --cwd --yes --print 'Make a file'");
    assert_code(&start, 0);
    assert_eq!(stdout(&start).trim(), REPLY);
    let apply = shell("cd project && claude-bottle apply --yes && cat made.txt");
    assert_code(&apply, 0);
    assert!(stdout(&apply).ends_with("by the agent\n"), "{}", stdout(&apply));
}

#[test]
fn the_debian_package_leads_to_an_answer_is_upgraded_under_a_bottle_and_leaves_nothing() {
    let out = TempDir::new().unwrap();
    package("0.0.9", out.path());
    package("0.1.0", out.path());
    let machine = Machine::start(out.path());
    let untouched = machine.files();

    machine.install("0.0.9");
    let write = ToolCall::bash("echo by the agent > made.txt");
    let api = standin(Backend::Docker, Script { reply: REPLY.to_owned(), run: Some(write) });
    first_answer(&machine, api.address());

    let manifest = manifest(
        "helper",
        api.address(),
        "  idle: { bottle: dev, command: [sh, -c, 'echo ready; exec sleep 600'] }\n",
    );
    machine.write("claude-bottle.yaml", &manifest.replace("    skills: [greet]\n", ""));
    let mut idle =
        machine.user(&["claude-bottle", "start", "idle", "--yes"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(idle.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    machine.install("0.1.0");
    let inside = machine.call(&["exec", "idle", "--", "echo", "still here"]);
    assert_code(&inside, 0);
    assert_eq!(stdout(&inside), "still here\n");
    assert_code(&machine.call(&["stop", "idle"]), 0);
    idle.wait().unwrap();
    assert_eq!(stderr(&machine.call(&["list", "active"])), "no bottle is running\n");

    machine.apt(&["purge", "--auto-remove", "claude-bottle"]);
    assert_eq!(machine.files(), untouched);
}

/// The recipes of other packagers have the tarball's name and hash, and what Arch's installs works.
fn assert_recipes_take(tarball: &Path, hash: &str) {
    let out = tarball.parent().unwrap();
    let name = tarball.file_name().unwrap().to_str().unwrap();
    for recipe in ["claude-bottle.rb", "PKGBUILD"] {
        let text = fs::read_to_string(out.join(recipe)).unwrap();
        assert!(text.contains(hash) && text.contains(name) && text.contains("0.1.0"), "{text}");
        assert!(!text.contains('@'), "something is not filled in: {text}");
    }
    let (sources, installed) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    assert_code(&run(Command::new("tar").arg("-C").arg(sources.path()).arg("-xzf").arg(tarball)), 0);
    // As makepkg(8) calls it.
    let mut make = Command::new("bash");
    make.args(["-euc", ". \"$0\"; package"]).arg(out.join("PKGBUILD")).current_dir(sources.path());
    assert_code(&run(make.env("pkgdir", installed.path())), 0);
    let plugins = run(Command::new(installed.path().join("usr/bin/claude-bottle"))
        .args(["plugin", "list"])
        .env("HOME", sources.path()));
    assert!(stdout(&plugins).contains("bubblewrap"), "{}{}", stdout(&plugins), stderr(&plugins));
}

#[test]
fn the_tarball_is_installed_by_hash_or_signature_and_by_nothing_less() {
    let out = TempDir::new().unwrap();
    let key = out.path().join("key");
    assert_code(&run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key)), 0);
    let public = fs::read_to_string(key.with_extension("pub")).unwrap();
    let signers = out.path().join("signers");
    fs::write(&signers, format!("claude-bottle {public}")).unwrap();
    package_signed("0.1.0", out.path(), &key);
    let tarball = out.path().join("claude-bottle-0.1.0-x86_64-linux-gnu.tar.gz");
    let home = TempDir::new().unwrap();
    let install = |arguments: &[&Path]| {
        let script = root().join("packaging/install.sh");
        run(Command::new(script).args(arguments).arg(&tarball).env("HOME", home.path()))
    };
    let refused = |arguments: &[&Path], why: &str| {
        let output = install(arguments);
        assert_code(&output, 1);
        assert!(stderr(&output).contains(why), "{}", stderr(&output));
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    };

    refused(&[], "give --sha256 or --signers");
    refused(&["--sha256".as_ref(), "0000".as_ref()], "and 0000 was expected");
    let others = out.path().join("others");
    fs::write(&others, format!("somebody-else {public}")).unwrap();
    refused(&["--signers".as_ref(), &others], "it is not the signature of a key in");
    let sums = out.path().join("SHA256SUMS");
    let list = fs::read_to_string(&sums).unwrap();
    fs::write(&sums, list.replacen('a', "b", 1)).unwrap();
    refused(&["--signers".as_ref(), &signers], "it is not the signature of a key in");
    fs::write(&sums, &list).unwrap();

    assert_code(&install(&["--signers".as_ref(), &signers]), 0);
    let version = run(Command::new(home.path().join(".local/bin/claude-bottle")).arg("--version"));
    assert_eq!(stdout(&version), "claude-bottle 0.1.0\n");
    let hash = list.lines().find(|line| line.ends_with(".tar.gz")).unwrap().split(' ').next().unwrap();
    assert_code(&install(&["--sha256".as_ref(), hash.as_ref()]), 0);
    assert_recipes_take(&tarball, hash);

    fs::OpenOptions::new().append(true).open(&tarball).unwrap().write_all(b"x").unwrap();
    let changed = install(&["--signers".as_ref(), &signers]);
    assert_code(&changed, 1);
    assert!(stderr(&changed).contains("was expected"), "{}", stderr(&changed));
}
