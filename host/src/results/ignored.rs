//! What git ignores, by rules that are held as text: those of the host at copy-in, and those that the agent wrote.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use claude_bottle_plugin_api::EntryPath;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use serde::{Deserialize, Serialize};

/// The name of a file of such rules.
pub const GITIGNORE: &str = ".gitignore";
/// The longest file of rules that is read.
pub const MAX_BYTES: u64 = 1 << 20;

/// A file of rules, and the directory that it is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleFile {
    /// The directory, relative to the top.
    pub directory: EntryPath,
    /// The rules.
    pub rules: String,
}

/// Rules that are ready to be asked.
#[derive(Debug, Default)]
pub struct Ignored {
    files: BTreeMap<PathBuf, Gitignore>,
    /// Of the repository and of the user: `.git/info/exclude` goes before what is ignored everywhere.
    lowest: Vec<Gitignore>,
    /// The directory that was asked for last, since most paths are next to each other.
    last: Mutex<Option<(PathBuf, bool)>>,
}

impl Ignored {
    /// Prepares rules; `lowest` are texts without a directory, those that count most first.
    pub fn new<'a>(files: impl IntoIterator<Item = &'a RuleFile>, lowest: &[&str]) -> Self {
        let files = files.into_iter();
        Self {
            files: files.map(|file| (file.directory.as_path().to_owned(), parse(&file.rules))).collect(),
            lowest: lowest.iter().map(|rules| parse(rules)).collect(),
            last: Mutex::default(),
        }
    }

    /// Returns `true` if a path, or a directory that it is in, is ignored.
    pub fn has(&self, path: &Path, is_directory: bool) -> bool {
        let parent = path.parent().unwrap_or(Path::new(""));
        self.has_directory(parent) || self.verdict(path, is_directory)
    }

    fn has_directory(&self, directory: &Path) -> bool {
        if directory.as_os_str().is_empty() {
            return false;
        }
        let last = || self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((last, is_ignored)) = &*last()
            && last == directory
        {
            return *is_ignored;
        }
        let is_ignored = self.has(directory, true);
        *last() = Some((directory.to_owned(), is_ignored));
        is_ignored
    }

    /// Asks the rules about a path alone: the nearest file that says something has the word.
    fn verdict(&self, path: &Path, is_directory: bool) -> bool {
        let nearest = path.ancestors().skip(1).find_map(|directory| {
            let rules = self.files.get(directory)?;
            let found = rules.matched(path.strip_prefix(directory).ok()?, is_directory);
            (!found.is_none()).then(|| found.is_ignore())
        });
        let lowest = || {
            let mut found = self.lowest.iter().map(|rules| rules.matched(path, is_directory));
            found.find(|found| !found.is_none()).is_some_and(|found| found.is_ignore())
        };
        nearest.unwrap_or_else(lowest)
    }
}

/// Reads rules as git does: a line that cannot be understood says nothing.
fn parse(text: &str) -> Gitignore {
    let mut builder = GitignoreBuilder::new("");
    for line in text.lines() {
        if let Err(error) = builder.add_line(None, line) {
            tracing::debug!(%error, "a rule of what git ignores");
        }
    }
    builder.build().unwrap_or_else(|_| Gitignore::empty())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn file(directory: &str, rules: &str) -> RuleFile {
        RuleFile { directory: EntryPath::new(directory), rules: rules.to_owned() }
    }

    /// git itself says what is ignored.
    #[test]
    fn the_rules_say_what_git_says() {
        let files = [
            file("", "target/\n*.log\n!keep.log\n/only-top\nbuild\n"),
            file("sub", "!*.log\nown\n/anchored/deep\n"),
            file("sub/inner", "*.log\n"),
        ];
        let (exclude, everywhere) = ("from-exclude\n!both\n", "both\nfrom-everywhere\n");
        let paths = [
            "target/a",
            "sub/target/b/c",
            "targets",
            "x.log",
            "keep.log",
            "sub/x.log",
            "sub/inner/x.log",
            "only-top",
            "sub/only-top",
            "build",
            "sub/build/x",
            "sub/own",
            "own",
            "sub/anchored/deep/x",
            "sub/x/anchored/deep",
            "from-exclude",
            "both",
            "sub/from-everywhere",
            "target/keep.log",
        ];
        let dir = tempfile::tempdir().unwrap();
        for file in &files {
            std::fs::create_dir_all(dir.path().join(file.directory.as_path())).unwrap();
            std::fs::write(dir.path().join(file.directory.as_path()).join(GITIGNORE), &file.rules).unwrap();
        }
        for path in paths {
            std::fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
            std::fs::write(dir.path().join(path), "").unwrap();
        }
        let git = |words: &[&str]| {
            let mut git = Command::new("git");
            git.args(words).current_dir(&dir).env("HOME", dir.path()).env("GIT_CONFIG_NOSYSTEM", "1");
            git.output().unwrap().status.success()
        };
        assert!(git(&["init", "-q"]));
        std::fs::write(dir.path().join(".git/info/exclude"), exclude).unwrap();
        std::fs::write(dir.path().join("everywhere"), everywhere).unwrap();
        assert!(git(&["config", "core.excludesFile", "everywhere"]));
        let ignored = Ignored::new(&files, &[exclude, everywhere]);
        for path in paths {
            assert_eq!(ignored.has(Path::new(path), false), git(&["check-ignore", "-q", path]), "{path}");
        }
        assert!(ignored.has(Path::new("target"), true) && !ignored.has(Path::new("target"), false));
    }
}
