//! A home and a working directory of a test's own.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use claude_bottle::manifest::{Locations, Manifest, ManifestErrors};
use claude_bottle::profile::Profiles;
use claude_bottle::trust::Trust;

/// What the home directory's manifest is where a test is about the project's.
pub(crate) const BASE: &str = "bottles:\n  base: {}\nagents:\n  shared:\n    bottle: base\n";

/// The directories of one test.
pub(crate) struct Fixture {
    root: tempfile::TempDir,
}

impl Fixture {
    /// Makes a home with a key, two skills, files of Claude Code's, prompts and things that are no files, and an empty project.
    pub(crate) fn new() -> Self {
        let fixture = Self { root: tempfile::tempdir().unwrap() };
        let home = fixture.home();
        for skill in ["pdf", "review"] {
            fixture.write(&format!("home/.claude/skills/{skill}/SKILL.md"), "---\nname: a skill\n---\n");
        }
        fixture.write("home/.claude/skills/a-file", "no directory");
        for file in ["CLAUDE.md", "settings.json", "commands/fix.md", "agents/critic.md"] {
            fixture.write(&format!("home/.claude/{file}"), "{}");
        }
        fixture.write("home/.claude/rules", "no directory");
        fixture.write("home/.ssh/id_ed25519", "a private key");
        fixture.write("home/.ssh/id_ed25519.pub", "a public key");
        fixture.write("home/.rustup/settings.toml", "");
        fixture.write("home/.cargo/bin/cargo", "a program");
        fixture.write("home/prompts/review.md", "Review what changed.\n");
        fixture.write("home/with-nul.txt", "a\0b");
        fs::write(home.join("latin1.txt"), b"caf\xe9").unwrap();
        symlink("loop", home.join("loop")).unwrap();
        fixture.write("project/prompts/local.md", "A prompt of the project.\n");
        symlink(home.join(".ssh/id_ed25519"), fixture.cwd().join("link.md")).unwrap();
        fixture
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    pub(crate) fn cwd(&self) -> PathBuf {
        self.root.path().join("project")
    }

    pub(crate) fn locations(&self) -> Locations {
        let profiles = Profiles::of(&self.home().join(".config"));
        Locations { home: self.home(), own: self.home(), cwd: self.cwd(), above: 0, profiles }
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust::open(self.root.path().join("state")).unwrap()
    }

    /// Writes a file below the fixture's root, with its directories.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn load(&self) -> Result<Manifest, ManifestErrors> {
        Manifest::load(&self.locations(), &self.trust())
    }

    /// Loads, and returns what a person would read when that fails.
    pub(crate) fn report(&self) -> String {
        match self.load() {
            Ok(_) => "the manifest was accepted".to_owned(),
            Err(errors) => shown(&errors),
        }
    }
}

/// Returns the whole text of a failed load: summary, report, advice.
pub(crate) fn shown(errors: &ManifestErrors) -> String {
    let hints: Vec<String> = errors.hints().iter().map(|hint| format!("hint: {hint}\n")).collect();
    let gap = if hints.is_empty() { "" } else { "\n" };
    format!("{errors}\n\n{}\n{gap}{}", errors.report(), hints.concat())
}

/// Returns the files of a folder of this corpus, sorted.
pub(crate) fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/manifests").join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension != "expected"));
    files.sort();
    assert!(!files.is_empty(), "the corpus is gone");
    files
}
