//! What a release is made by: the steps of `make release` that are not a build, tried in a repository of the test's own, and what has to be
//! the same in several places.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use super::root;

/// A repository with the files that the steps read.
struct Repository(TempDir);

impl Repository {
    fn new(changelog: &str) -> Self {
        let repository = Self(tempfile::tempdir().unwrap());
        fs::create_dir(repository.path().join("packaging")).unwrap();
        for file in ["packaging/release.sh", "Cargo.toml"] {
            fs::copy(root().join(file), repository.path().join(file)).unwrap();
        }
        repository.write("CHANGELOG.md", changelog);
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.git(&["add", "."]);
        repository.git(&["commit", "--quiet", "--message", "first"]);
        repository
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }

    /// Prepares a program that sees no settings of the user's git.
    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.path()).env("GIT_CONFIG_GLOBAL", "/dev/null");
        command.env("GIT_CONFIG_NOSYSTEM", "1");
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "A").env(format!("GIT_{who}_EMAIL"), "a@example.org");
        }
        command
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = self.command("git", arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn step(&self, arguments: &[&str]) -> Output {
        self.command("packaging/release.sh", arguments).output().unwrap()
    }

    #[track_caller]
    fn refuses(&self, arguments: &[&str], expected: &str) {
        let output = self.step(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains(expected), "{said}");
    }

    #[track_caller]
    fn takes(&self, arguments: &[&str]) {
        let output = self.step(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Returns the version of the workspace.
fn version() -> String {
    value("version")
}

fn value(key: &str) -> String {
    let text = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let package = text.split("[workspace.package]").nth(1).unwrap();
    let line = package.lines().find_map(|line| line.strip_prefix(&format!("{key} = \"")));
    line.unwrap().trim_end_matches('"').to_owned()
}

#[test]
fn a_release_dates_the_changelog_and_tags_the_commit() {
    let repository = Repository::new(
        "# Changelog\n\n## Unreleased\n\n### Added\n- One.\n\n## 0.0.1 - 2026-01-02\n\n- Old.\n",
    );
    let version = version();
    repository.takes(&["check"]);
    // A dry run says what would be in it, and leaves the tree as it is.
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("new/NOTES.md");
    let notes = || {
        repository.takes(&["notes", file.to_str().unwrap()]);
        fs::read_to_string(&file).unwrap()
    };
    let before = notes();
    assert!(before.starts_with(&format!("# claude-bottle {version}, 20")), "{before}");
    assert!(before.contains("### Added\n- One.\n") && !before.contains("Old."), "{before}");
    assert_eq!(repository.git(&["status", "--porcelain"]), "");

    repository.refuses(&["tag"], "no dated section");
    repository.takes(&["date"]);
    let changelog = repository.read("CHANGELOG.md");
    let dated = regex::Regex::new(&format!(
        r"(?s)## Unreleased\n\n## {} - \d{{4}}-\d{{2}}-\d{{2}}\n\n### Added\n- One.\n\n## 0.0.1 - ",
        regex::escape(&version)
    ));
    assert!(dated.unwrap().is_match(&changelog), "{changelog}");
    assert_eq!(repository.git(&["log", "-1", "--format=%s"]), format!("release: {version}\n"));
    assert_eq!(notes(), before);
    repository.takes(&["tag"]);
    assert_eq!(repository.git(&["tag", "--points-at", "HEAD"]), format!("v{version}\n"));
    repository.refuses(&["check"], "is released already");
}

#[test]
fn a_release_is_refused_where_the_tree_or_the_changelog_is_not_ready() {
    let repository = Repository::new("# Changelog\n\n## Unreleased\n\n- One.\n");
    repository.write("more", "");
    repository.refuses(&["check"], "the tree has changes");
    repository.refuses(&["date"], "the tree has changes");
    fs::remove_file(repository.path().join("more")).unwrap();
    repository.takes(&["check"]);
    for (changelog, expected) in [
        ("# Changelog\n\n## Unreleased\n\n## 0.0.1 - 2026-01-02\n\n- Old.\n", "has nothing under"),
        ("# Changelog\n\n- One.\n", "has no section"),
    ] {
        Repository::new(changelog).refuses(&["check"], expected);
    }
    let dated =
        format!("# Changelog\n\n## Unreleased\n\n- One.\n\n## {} - 2026-01-02\n\n- Old.\n", version());
    Repository::new(&dated).refuses(&["check"], "already");
}

/// More than a pipe takes at once.
#[test]
fn a_long_changelog_is_released_like_a_short_one() {
    let changelog =
        format!("# Changelog\n\n## Unreleased\n\n{}", "- One more line of many.\n".repeat(20_000));
    Repository::new(&changelog).takes(&["check"]);
}

#[test]
fn the_oldest_rust_that_is_promised_is_the_one_that_is_checked() {
    let oldest = value("rust-version");
    let pinned = fs::read_to_string(root().join("rust-toolchain.toml")).unwrap();
    assert!(
        pinned.contains(&format!("\nchannel = \"{oldest}.")),
        "rust-toolchain.toml is of another Rust than {oldest}"
    );
    for (file, wanted) in [
        ("docs/install.md", format!("| Rust {oldest} |")),
        (".github/workflows/ci.yml", format!("RUSTUP_TOOLCHAIN: \"{oldest}\"")),
    ] {
        let text = fs::read_to_string(root().join(file)).unwrap();
        assert!(text.contains(&wanted), "{file} names another Rust than {oldest}");
    }
}

/// Versions in commands of the documents are those of the files that a release has.
#[test]
fn the_documents_name_the_files_of_this_version() {
    let (version, install) = (version(), fs::read_to_string(root().join("docs/install.md")).unwrap());
    let file = regex::Regex::new(r"claude-bottle[-_](\d+\.\d+\.\d+)[-_]").unwrap();
    let named: Vec<_> = file.captures_iter(&install).map(|found| found[1].to_owned()).collect();
    assert!(named.len() > 2 && named.iter().all(|named| *named == version), "{named:?}");
}
