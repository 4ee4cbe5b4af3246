//! The agent's program, however people install it: real installers, with packages that are made here, without a network.
//!
//! What a program says inside is what it says outside.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use claude_bottle_plugin_api::{Backend, FailureKind};

use crate::support::{Bench, installers};
use crate::tools::program;

/// The program's name, whoever installs it.
pub(crate) const NAME: &str = "bottle-words";

/// A home with packages in it that can be installed.
pub(crate) struct Home {
    pub(crate) bench: Bench,
    pub(crate) path: PathBuf,
}

impl Home {
    pub(crate) fn new() -> Self {
        let bench = Bench::new();
        let path = bench.dir.path().join("home");
        fs::create_dir(&path).unwrap();
        let home = Self { bench, path };
        home.make_npm_packages();
        home.make_wheel();
        home
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn run(&self, program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) {
        let mut command = Command::new(&program);
        command.args(arguments).current_dir(&self.path).env_clear().env("HOME", &self.path);
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("PNPM_HOME", self.join("pnpm"));
        command.env("npm_config_offline", "true").env("UV_OFFLINE", "1").env("MISE_YES", "1");
        command
            .env("MISE_OFFLINE", "1")
            .env("PATH", format!("{}:/usr/bin:/bin", self.join("pnpm/bin").display()));
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        assert!(output.status.success(), "{:?} {arguments:?}: {said:?}", program.as_ref());
    }

    /// Two packages of Node: a program, and what it cannot do without.
    fn make_npm_packages(&self) {
        let words = r#"{ "name": "words", "version": "1.0.0", "main": "index.js" }"#;
        self.pack(
            "words",
            &[("package.json", words), ("index.js", "module.exports = 'words of a package'\n")],
        );
        let manifest = format!(
            r#"{{ "name": "{NAME}", "version": "1.0.0", "bin": {{ "{NAME}": "cli.js" }}, "dependencies": {{ "words": "file:{}" }} }}"#,
            self.join("words.tgz").display()
        );
        let script = "#!/usr/bin/env node\nconsole.log(require('words'), process.argv.slice(2).join(' '))\n";
        self.pack(NAME, &[("package.json", &manifest), ("cli.js", script)]);
    }

    fn pack(&self, name: &str, files: &[(&str, &str)]) {
        let dir = self.join(&format!("sources/{name}/package"));
        for (file, text) in files {
            program(&dir.join(file), text);
        }
        let archive = self.join(&format!("{name}.tgz"));
        self.run(
            "tar",
            &["-czf", archive.to_str().unwrap(), "-C", dir.parent().unwrap().to_str().unwrap(), "package"],
        );
    }

    /// A package of Python with a program in it.
    fn make_wheel(&self) {
        let script = format!(
            "import zipfile\nw = zipfile.ZipFile('bottle_words-1.0-py3-none-any.whl', 'w')\nd = 'bottle_words-1.0.dist-info/'\n\
             w.writestr('bottle_words.py', 'import sys, ssl\\ndef main(): print(\"words of a package\", *sys.argv[1:])\\n')\n\
             w.writestr(d + 'METADATA', 'Metadata-Version: 2.1\\nName: bottle-words\\nVersion: 1.0\\n')\n\
             w.writestr(d + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
             w.writestr(d + 'entry_points.txt', '[console_scripts]\\n{NAME} = bottle_words:main\\n')\n\
             w.writestr(d + 'RECORD', '')\n"
        );
        self.run("/usr/bin/python3", &["-c", &script]);
    }

    fn wheel(&self) -> String {
        self.join("bottle_words-1.0-py3-none-any.whl").display().to_string()
    }

    /// Starts a bottle whose agent is a program, and compares what it says with what it says outside.
    pub(crate) fn check(&self, id: &str, command: &Path, search: &[&Path]) {
        let mut outside = Command::new(command);
        let path = search.iter().map(|dir| dir.display().to_string()).chain(["/usr/bin:/bin".to_owned()]);
        outside.arg("x").env_clear().env("HOME", &self.path).env("PATH", path.collect::<Vec<_>>().join(":"));
        let outside = String::from_utf8(outside.output().unwrap().stdout).unwrap();
        assert_eq!(outside, "words of a package x\n", "{id} outside");
        let mut spec = self.bench.spec(id);
        spec.agent.command = vec![command.display().to_string()];
        let live = self.bench.launch(&spec);
        let said = live.run(&[command.to_str().unwrap(), "x"], "");
        assert_eq!(said.out, outside, "{id}: {said:?}");
        let said = live.run(&[NAME, "x"], "");
        assert_eq!(said.out, outside, "{id}, by its name: {said:?}");
        assert_ne!(live.sh(&format!("ls '{}'/sources", self.path.display())).code, 0, "{id}: more is there");
    }
}

#[test]
fn programs_of_node_run_however_they_were_installed() {
    let home = Home::new();
    let tool = |name: &str| installers().join("node_modules/.bin").join(name);
    let archive = home.join(&format!("{NAME}.tgz")).display().to_string();

    home.run("npm", &["install", "--global", "--prefix", home.join("global").to_str().unwrap(), &archive]);
    home.check("npm-global", &home.join("global/bin").join(NAME), &[]);

    home.run("npm", &["install", "--prefix", home.join("local").to_str().unwrap(), &archive]);
    home.check("npm-local", &home.join("local/node_modules/.bin").join(NAME), &[]);

    let to = |name: &str| home.join(name).display().to_string();
    home.run(
        tool("yarn"),
        &[
            "global",
            "add",
            &format!("file:{archive}"),
            "--offline",
            "--global-folder",
            &to("yarn/global"),
            "--prefix",
            &to("yarn"),
        ],
    );
    home.check("yarn", &home.join("yarn/bin").join(NAME), &[]);

    home.run(tool("pnpm"), &["add", "--global", "--offline", &archive]);
    home.check("pnpm", &home.join("pnpm/bin").join(NAME), &[]);
}

#[test]
fn programs_of_python_run_however_they_were_installed() {
    let home = Home::new();
    let uv = installers().join("bin/uv");
    home.run("/usr/bin/python3", &["-m", "venv", home.join("venv").to_str().unwrap()]);
    home.run(home.join("venv/bin/pip"), &["install", "--quiet", "--no-index", &home.wheel()]);
    home.check("venv", &home.join("venv/bin").join(NAME), &[]);

    home.run(&uv, &["tool", "install", "--python", "/usr/bin/python3", &home.wheel()]);
    home.check("uv-tool", &home.join(".local/bin").join(NAME), &[]);

    // A Python that is not the system's, as pyenv and uv have it.
    let own = copied_python(&home.join("pythons/own"));
    home.run(&uv, &["tool", "install", "--force", "--python", own.to_str().unwrap(), &home.wheel()]);
    home.check("uv-own", &home.join(".local/bin").join(NAME), &[]);

    // A package that is developed in place.
    fs::create_dir(home.join("developed")).unwrap();
    fs::write(home.join("developed/bottle_words.py"), "def main(): print('words of a package x')\n").unwrap();
    let packages = site_packages(&home.join("venv/lib"));
    fs::remove_file(packages.join("bottle_words.py")).unwrap();
    fs::write(packages.join("developed.pth"), home.join("developed").to_str().unwrap()).unwrap();
    home.check("in-place", &home.join("venv/bin").join(NAME), &[]);
}

/// Copies the system's Python to a prefix of its own.
fn copied_python(prefix: &Path) -> PathBuf {
    let real = fs::canonicalize("/usr/bin/python3").unwrap();
    let name = real.file_name().unwrap().to_str().unwrap();
    for dir in ["bin", "lib"] {
        fs::create_dir_all(prefix.join(dir)).unwrap();
    }
    fs::copy(&real, prefix.join("bin/python3")).unwrap();
    let mut copy = Command::new("cp");
    copy.args(["-r", "--reflink=auto", &format!("/usr/lib/{name}")]).arg(prefix.join("lib"));
    assert!(copy.status().unwrap().success());
    prefix.join("bin/python3")
}

fn site_packages(lib: &Path) -> PathBuf {
    let version = fs::read_dir(lib).unwrap().next().unwrap().unwrap();
    version.path().join("site-packages")
}

#[test]
fn shims_of_a_version_manager_stand_for_their_program() {
    let home = Home::new();
    let mise = installers().join("bin/mise");
    let version = home.join("versions/1");
    home.run(
        "npm",
        &[
            "install",
            "--global",
            "--prefix",
            version.to_str().unwrap(),
            &home.join(&format!("{NAME}.tgz")).display().to_string(),
        ],
    );
    // mise finds the tool's programs in `bin` of the linked version.
    home.run(&mise, &["link", "node@1.0.0", version.to_str().unwrap()]);
    home.run(&mise, &["use", "--global", "node@1.0.0"]);
    home.run(&mise, &["reshim"]);
    let shim = home.join(".local/share/mise/shims").join(NAME);
    assert!(shim.exists());
    let again = std::env::current_exe().unwrap();
    let mut again = Command::new(again);
    again.args(["--exact", "installs::shim"]).env(SHIM, &shim).env(crate::support::AGAIN, "1");
    again.env("HOME", &home.path).env("PATH", format!("{}:/usr/bin:/bin", mise.parent().unwrap().display()));
    let output = again.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// In a process of its own: the shim. Its manager asks for the home and for the search path, which are the process's.
const SHIM: &str = "BUBBLEWRAP_TESTS_SHIM";

#[test]
fn shim() {
    let Some(shim) = std::env::var_os(SHIM).map(PathBuf::from) else { return };
    let bench = Bench::new();
    let mut spec = bench.spec("shim");
    spec.agent.command = vec![shim.display().to_string()];
    let live = bench.launch(&spec);
    let said = live.run(&[shim.to_str().unwrap(), "x"], "");
    assert_eq!(said.out, "words of a package x\n", "{said:?}");

    // One that stands for nothing is refused before anything is made.
    let lost = shim.with_file_name("no-such-tool");
    std::os::unix::fs::symlink(shim.canonicalize().unwrap(), &lost).unwrap();
    spec.agent.command = vec![lost.display().to_string()];
    let failure = bench.backend.prepare(&bench.call, &spec).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Missing);
    assert!(
        failure.message.contains("is a shim") && failure.message.contains("mise which no-such-tool"),
        "{failure}"
    );
    assert!(failure.hints.iter().any(|hint| hint.contains("bottles.<name>.tools: [")), "{failure:?}");
}

#[test]
fn what_a_program_lacks_is_named_before_anything_is_made() {
    let bench = Bench::new();
    let dir = bench.dir.path();
    let check = |name: &str, text: &str, expected: &str| {
        let path = dir.join("bin").join(name);
        program(&path, text);
        let mut spec = bench.spec("lacking");
        spec.agent.command = vec![path.display().to_string()];
        let failure = bench.backend.prepare(&bench.call, &spec).unwrap_err();
        let expected = expected.replace("DIR", &dir.display().to_string());
        assert!(failure.to_string().contains(&expected), "{failure}\n{expected}");
        assert!(failure.hints[0].contains("bottles.<name>.tools: ["), "{failure:?}");
    };
    check("gone", "#!DIR/venv/bin/python\n", "interpreter");
    fs::create_dir_all(dir.join("home/.ssh")).unwrap();
    program(&dir.join("home/.ssh/run"), "#!/bin/sh\n");
    check(
        "private",
        &format!("#!/bin/sh\nexec {}/home/.ssh/run\n", dir.display()),
        "needs `DIR/home/.ssh/run`, which is where secrets are kept",
    );
}

#[test]
fn what_a_program_needs_is_in_the_plan() {
    let bench = Bench::new();
    let dir = bench.dir.path();
    program(&dir.join("suite/bin/tool"), "#!/bin/sh\nexec \"$(dirname \"$0\")/../libexec/real\" \"$@\"\n");
    program(&dir.join("suite/libexec/real"), "#!/bin/sh\necho \"real $1\"\n");
    let mut spec = bench.spec("suite");
    let tool = dir.join("suite/bin/tool").display().to_string();
    spec.agent.command = vec![tool.clone()];
    let plan = bench.backend.prepare(&bench.call, &spec).unwrap();
    let fact = plan.facts.iter().find(|fact| fact.label == "tools").unwrap();
    assert_eq!(fact.value, format!("{}/suite (read-only)", dir.display()));
    assert_eq!(bench.launch(&spec).run(&[&tool, "x"], "").out, "real x\n");
}
