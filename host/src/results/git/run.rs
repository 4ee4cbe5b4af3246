//! Runs the host's git: here alone, in the repository that was there before the bottle, and with nothing that a configuration or
//! an environment could have it start.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What is said on each command line: a repository's own configuration names programs.
const SETTINGS: [&str; 6] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.allow=never",
];

/// The whole environment but for `PATH` and `HOME`.
const ENVIRONMENT: [(&str, &str); 7] = [
    ("LC_ALL", "C"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_NO_LAZY_FETCH", "1"),
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    ("GIT_OPTIONAL_LOCKS", "0"),
];

/// The only commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::results) enum Verb {
    RevParse,
    FastImport,
    MergeFile,
    MergeBase,
}

impl Verb {
    fn word(self) -> &'static str {
        match self {
            Self::RevParse => "rev-parse",
            Self::FastImport => "fast-import",
            Self::MergeFile => "merge-file",
            Self::MergeBase => "merge-base",
        }
    }
}

/// A git that can be run in one directory.
#[derive(Debug)]
pub struct Git {
    program: PathBuf,
    directory: PathBuf,
}

impl Git {
    /// Finds git, for one directory; `None` if it is not installed.
    pub fn find(directory: &Path) -> Option<Self> {
        Some(Self { program: crate::git::program()?, directory: directory.to_owned() })
    }

    /// Runs a command, with this on its standard input.
    pub(in crate::results) fn run<S: AsRef<OsStr>>(
        &self,
        verb: Verb,
        words: &[S],
        input: &[u8],
    ) -> io::Result<Output> {
        self.run_with(verb, words, |stdin| stdin.write_all(input))
    }

    /// Runs a command, with what `write` writes on its standard input.
    pub(in crate::results) fn run_with<S: AsRef<OsStr>>(
        &self,
        verb: Verb,
        words: &[S],
        write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send,
    ) -> io::Result<Output> {
        let mut git = Command::new(&self.program);
        git.env_clear().envs(ENVIRONMENT).current_dir("/");
        for name in ["PATH", "HOME"] {
            git.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        git.arg("--no-pager");
        for setting in SETTINGS {
            git.args(["-c", setting]);
        }
        git.arg("-C").arg(&self.directory).arg(verb.word()).args(words);
        git.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = git.spawn()?;
        let stdin = child.stdin.take();
        std::thread::scope(|scope| {
            let writer = scope.spawn(move || match stdin {
                Some(stdin) => {
                    let mut stdin = io::BufWriter::new(stdin);
                    write(&mut stdin).and_then(|()| stdin.flush())
                }
                None => Ok(()),
            });
            let output = child.wait_with_output()?;
            match writer.join() {
                // One that failed has not read all; what it says is why.
                Ok(Err(error)) if output.status.success() => Err(error),
                _ => Ok(output),
            }
        })
    }
}
