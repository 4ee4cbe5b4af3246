//! A user's home of a test's own, and calls of the program in it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use regex::Regex;
use tempfile::TempDir;

use super::tree;

/// A manifest with two agents in one bottle.
pub(crate) const MANIFEST: &str = "\
bottles:
  dev:
    env:
      COLOUR: blue
    egress:
      allowlist: [github.com, 'git.example:22', 'deny gist.github.com']
agents:
  hello:
    bottle: dev
    command: [echo, hello]
    prompt: |
      You say hello.
      Nothing else.
  shell:
    bottle: dev
    command: [sh, -c]
";

/// A home directory with a working directory in it.
pub(crate) struct Home {
    dir: TempDir,
}

impl Home {
    /// Makes a home with [`MANIFEST`].
    pub(crate) fn new() -> Self {
        Self::with(MANIFEST)
    }

    /// Makes a home whose manifest is this text.
    pub(crate) fn with(manifest: &str) -> Self {
        let home = Self::empty();
        fs::write(home.manifest(), manifest).unwrap();
        home
    }

    /// Makes a home without a manifest.
    pub(crate) fn empty() -> Self {
        let dir = tempfile::Builder::new().prefix("home-").tempdir().unwrap();
        for name in ["work", "tmp"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        Self { dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn manifest(&self) -> PathBuf {
        self.path().join("claude-bottle.yaml")
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.path().join("work")
    }

    /// Returns the directory of a run's record.
    pub(crate) fn run_dir(&self, id: &str) -> PathBuf {
        self.path().join(".local/state/claude-bottle/bottles").join(id)
    }

    /// Writes a file below the home.
    pub(crate) fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Prepares a call in the working directory, with an environment of its own.
    ///
    /// The fake backend enforces no egress policy, to which a start that does not ask has to agree.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let starts = |argument: &&str| ["start", "resume"].contains(argument);
        let at = arguments.iter().position(starts).map(|at| at + 1);
        let does_not_ask = |argument: &&str| ["--yes", "-y", "--print", "-p"].contains(argument);
        let own = arguments.split(|argument| *argument == "--").next().unwrap_or_default();
        let mut arguments = arguments.to_vec();
        if let Some(at) = at.filter(|_| own.iter().any(does_not_ask)) {
            arguments.insert(at, "--allow-unenforced-egress");
        }
        self.command_as_given(&arguments)
    }

    /// Prepares a call with these arguments and no others.
    pub(crate) fn command_as_given(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(tree::program());
        command.args(arguments).env_clear().current_dir(self.work()).stdin(Stdio::null());
        command.env("HOME", self.path()).env("TMPDIR", self.path().join("tmp")).env("PATH", "/usr/bin:/bin");
        command.env("CLAUDE_BOTTLE_BACKEND", "fake").env("GIT_CONFIG_NOSYSTEM", "1");
        command
    }

    /// Calls the program.
    pub(crate) fn call(&self, arguments: &[&str]) -> Output {
        self.call_with(arguments, &[])
    }

    /// Calls the program with these arguments and no others.
    pub(crate) fn call_as_given(&self, arguments: &[&str]) -> Output {
        self.command_as_given(arguments).output().unwrap()
    }

    /// Calls the program with more in its environment.
    pub(crate) fn call_with(&self, arguments: &[&str], env: &[(&str, &str)]) -> Output {
        self.command(arguments).envs(env.iter().copied()).output().unwrap()
    }

    /// Calls the program with text on its standard input.
    pub(crate) fn call_fed(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        let feeder = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().unwrap();
        feeder.join().unwrap().unwrap();
        output
    }

    /// Calls the program and returns code, output and messages as one text, without what differs from run to run.
    pub(crate) fn shown(&self, arguments: &[&str]) -> String {
        self.show(&self.call(arguments))
    }

    /// Does the same with more in the environment.
    pub(crate) fn shown_with(&self, arguments: &[&str], env: &[(&str, &str)]) -> String {
        self.show(&self.call_with(arguments, env))
    }

    pub(crate) fn show(&self, output: &Output) -> String {
        let code = output.status.code().map_or_else(|| "signal".to_owned(), |code| code.to_string());
        let mut text = format!("exit {code}\n");
        for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
            if !bytes.is_empty() {
                text.push_str(&format!("--- {name}\n{}", String::from_utf8_lossy(bytes)));
            }
        }
        self.filtered(&text)
    }

    /// Replaces paths, ids, ages, process numbers and machine names.
    pub(crate) fn filtered(&self, text: &str) -> String {
        static FILTERS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
            [
                (r"\b([a-z][a-z0-9]*)-[0-9a-f]{8}\b", "$1-[ID]"),
                (r#""created_unix": [1-9][0-9]+"#, r#""created_unix": [TIME]"#),
                (r#""pid": [0-9]+"#, r#""pid": [PID]"#),
                (r#""started": [0-9]+"#, r#""started": [START]"#),
                (r#""host": "[^"]*",(\s+"pid")"#, r#""host": "[HOST]",$1"#),
                (r"\b[0-9]+@[A-Za-z0-9.-]+", "[PID]@[HOST]"),
                (r"\b[0-9]+[smh]( [0-9]+s)?\b *", "[AGE] "),
                (r"\b[0-9]+\.[0-9] ms\b", "[MS]"),
                (r"\b[0-9.]+ [KMGT]iB free at `[^`]+`", "[SIZE] free at `[DIR]`"),
                (r"\b[0-9a-f]{64}\b", "[SHA256]"),
                (r"\b[0-9a-f]{12}\b", "[HASH]"),
                (r"claude-bottle-edit-[A-Za-z0-9]{6}", "claude-bottle-edit-[RANDOM]"),
                (r"\b1\.[0-9]+\.[0-9]+ \([0-9a-f]{9} [0-9-]+\)", "[RUSTC]"),
            ]
            .map(|(pattern, replacement)| (Regex::new(pattern).unwrap(), replacement))
            .into()
        });
        let mut text = text
            .replace(&self.path().display().to_string(), "[HOME]")
            .replace(&tree::prefix().display().to_string(), "[PREFIX]");
        for (pattern, replacement) in FILTERS.iter() {
            text = pattern.replace_all(&text, *replacement).into_owned();
        }
        text.trim_end().to_owned()
    }

    /// Returns the records of the fake backend: the bottles that exist.
    pub(crate) fn bottles(&self) -> Vec<String> {
        self.names_in(".local/share/claude-bottle/backends/fake/bottles")
    }

    /// Returns the names of what is in a directory; none when it is not there.
    pub(crate) fn names_in(&self, directory: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path().join(directory)) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Fails unless no bottle and no scratch file is left.
    #[track_caller]
    pub(crate) fn assert_nothing_left(&self) {
        assert_eq!(self.bottles(), Vec::<String>::new(), "bottles");
        assert_eq!(self.names_in("tmp"), Vec::<String>::new(), "scratch files");
    }

    /// Waits until no bottle and no scratch file is left: another process is removing them.
    #[track_caller]
    pub(crate) fn wait_until_nothing_left(&self) {
        let bottles = self.path().join(".local/share/claude-bottle/backends/fake/bottles");
        // A run that made no bottle has no directory of them.
        let watched = [bottles, self.path().join("tmp")].into_iter().filter(|path| path.is_dir());
        let watched: Vec<_> = watched.collect();
        super::live::wait_for_change(&watched, || {
            self.bottles().is_empty() && self.names_in("tmp").is_empty()
        });
    }
}
