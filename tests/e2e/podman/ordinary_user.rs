//! The same as an ordinary user, whose Podman is rootless. Where the tests run as another user than root, all of them are this.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use claude_bottle_standin::Script;

use crate::support::backend::Backend;
use crate::support::home::TOKEN;
use crate::support::{assert_code, run, standin, stderr, stdout};

/// The user that tests/setup/podman.sh makes, with an image of its own.
const USER: &str = "claude-bottle-tester";
const IMAGE: &str = "claude-bottle-small:latest";

/// An ordinary user's home and installation.
struct Person {
    home: tempfile::TempDir,
    id: u32,
}

impl Person {
    fn new() -> Self {
        let id = number("-u");
        // A directory that every user can enter, wherever this one's temporary files are.
        let home = tempfile::Builder::new().prefix("claude-bottle-podman-").tempdir_in("/var/tmp").unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let person = Self { home, id };
        person.install();
        for dir in ["work", "tmp"] {
            fs::create_dir(person.path().join(dir)).unwrap();
            chown(person.path().join(dir), Some(id), Some(id)).unwrap();
        }
        chown(person.path(), Some(id), Some(id)).unwrap();
        person
    }

    fn path(&self) -> &Path {
        self.home.path()
    }

    /// Copies what `make install` installs to where this user can read it.
    fn install(&self) {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_claude-bottle"));
        let built = program.parent().unwrap();
        let companions = built.join("../libexec/claude-bottle");
        let copy = |from: PathBuf, to: &str| {
            let to = self.path().join("usr").join(to);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(&from, &to).unwrap_or_else(|error| panic!("copy {}: {error}", from.display()));
        };
        copy(program.clone(), "bin/claude-bottle");
        copy(
            built.join("libclaude_bottle_backend_podman.so"),
            "lib/claude-bottle/plugins/claude-bottle-backend-podman.so",
        );
        for name in ["egress-guard", "bottle-guest"] {
            copy(companions.join(name), &format!("libexec/claude-bottle/{name}"));
        }
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        chown(&path, Some(self.id), Some(self.id)).unwrap();
    }

    /// Prepares a program as this user.
    fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        // In a session of its own as after a login: of root's nothing comes along.
        let mut command = Command::new("setpriv");
        let id = self.id.to_string();
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]).arg(program).args(arguments);
        command.env_clear().current_dir(self.path().join("work")).process_group(0);
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command.env("CONTAINERS_CONF", format!("/var/tmp/{USER}.conf"));
        command
    }

    fn call(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(&self.path().join("usr/bin/claude-bottle"), arguments);
        command.env("HOME", self.path()).env("TMPDIR", self.path().join("tmp"));
        // Podman's images are in the user's own home, and what is ours is not.
        let storage = format!("/home/{USER}");
        command
            .env("XDG_CONFIG_HOME", self.path().join("config"))
            .env("XDG_DATA_HOME", format!("{storage}/.local/share"));
        command.env("CLAUDE_BOTTLE_BACKEND", "podman").env("CLAUDE_BOTTLE_IMAGE", IMAGE);
        run(command.env("CLAUDE_BOTTLE_OAUTH_TOKEN", TOKEN))
    }

    fn podman(&self, arguments: &[&str]) -> String {
        let mut command = self.command(Path::new("podman"), arguments);
        let output = run(command.env("HOME", format!("/home/{USER}")));
        assert!(output.status.success(), "podman {arguments:?}: {}", stderr(&output));
        stdout(&output)
    }
}

fn number(option: &str) -> u32 {
    let output = run(Command::new("id").args([option, USER]));
    stdout(&output).trim().parse().expect("the user is there: tests/setup/podman.sh")
}

#[test]
fn an_ordinary_user_has_the_same_bottle_and_the_plan_says_what_is_not_enforced() {
    if !rustix::process::geteuid().is_root() {
        return; // The tests run as an ordinary user as it is.
    }
    let person = Person::new();
    let api = standin(Backend::Podman, Script { reply: "unused".to_owned(), run: None });
    let (ip, port) = (api.address().ip(), api.address().port());
    let script = "id -u; hostname; tail -n +3 /proc/net/dev | cut -d: -f1; \
        curl -s -o /dev/null -w '%{http_code}\\n' http://example.com/; \
        curl -s -o /dev/null -w '%{http_code}\\n' http://api.standin.test:PORT/; echo changed >>file.txt; ulimit -v; cat /proc/self/limits"
        .replace("PORT", &port.to_string());
    person.write(
        "claude-bottle.yaml",
        &format!(
            "bottles:\n  dev:\n    limits: {{ memory: 1GiB, pids: 77 }}\n    egress:\n      allowlist: ['api.standin.test:{port}']\n      \
             hosts: {{ api.standin.test: {ip} }}\n      private: [{{ host: api.standin.test, range: {ip}/32 }}]\n\
             agents:\n  person: {{ bottle: dev, command: [bash, -c, '{}'] }}\n",
            script.replace('\'', "''")
        ),
    );
    person.write("work/file.txt", "before\n");
    let output = person.call(&["start", "person", "--cwd", "--yes"]);
    assert_code(&output, 0);
    let (said, plan) = (stdout(&output), stderr(&output));
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines[0], "1000", "{said}");
    assert_eq!((lines[2].trim(), lines[3]), ("lo", "403"), "{said}");
    assert_ne!(lines[4], "403", "{said}");
    // Where Podman has no control group each process is limited, and the plan says that it is not the bottle.
    let has_groups = person.podman(&["info", "--format", "{{.Host.CgroupControllers}}"]).contains("memory");
    assert_eq!(plan.contains("the memory limit holds for each process"), !has_groups, "{plan}");
    let limits = said.lines().find(|line| line.starts_with("Max processes")).unwrap();
    assert!(limits.contains(" 77 "), "{limits}");
    assert_eq!(person.podman(&["ps", "--all", "--quiet"]), "");
    // What the agent changed is the user's own, and comes back.
    assert_eq!(fs::read_to_string(person.path().join("work/file.txt")).unwrap(), "before\n");
    assert_code(&person.call(&["apply", "--yes"]), 0);
    assert_eq!(fs::read_to_string(person.path().join("work/file.txt")).unwrap(), "before\nchanged\n");
}
