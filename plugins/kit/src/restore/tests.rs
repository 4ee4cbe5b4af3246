//! What an earlier bottle left, laid in both ways: the same files come of it, and nothing leads out.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use tempfile::TempDir;

use claude_bottle_plugin_api::{AgentProfile, FileFormat, HomeFile};

use super::*;
use crate::tree::{self, Baseline, Links, Options, Rules};

/// An agent that is granted files of its home.
fn agent() -> AgentSpec {
    let mut agent = AgentSpec::new("a", vec!["claude".to_owned()]);
    let mut profile = AgentProfile::new("claude");
    let file = |path| HomeFile::new(path, FileFormat::Json, serde_json::json!({}));
    profile.files = [".claude.json", ".claude/settings.json"].map(file).into();
    agent.profile = Some(profile);
    agent
}

/// A host's directory, archives of an earlier bottle, and the places of a new one.
struct World {
    dir: TempDir,
    restore: Restore,
}

/// What is at a path: a directory, a file with its bits and content, a link.
type Files = BTreeMap<String, String>;

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["host", "home/workspace", "outside", "unpacked"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        Self { dir, restore: Restore::default() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn host(&self, path: &str, content: &str) -> &Self {
        let path = self.at("host").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// Writes an archive of files (`+x` after the path for executables), links (`path -> target`) and directories (`path/`).
    fn archive(&self, name: &str, entries: &[(&str, &str)]) -> Option<PathBuf> {
        let path = self.at(name);
        let mut builder = tar::Builder::new(File::create(&path).unwrap());
        for (entry, content) in entries {
            let mut header = tar::Header::new_gnu();
            let (mode, entry) = match entry.strip_suffix(" +x") {
                Some(entry) => (0o755, entry),
                None => (0o644, *entry),
            };
            header.set_mode(mode);
            if let Some((entry, target)) = entry.split_once(" -> ") {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                builder.append_link(&mut header, entry, target).unwrap();
                continue;
            }
            let kind = if entry.ends_with('/') { tar::EntryType::Directory } else { tar::EntryType::Regular };
            header.set_entry_type(kind);
            header.set_size(content.len() as u64);
            // As a hostile program writes it: the crate's own way refuses `..`.
            let name = &mut header.as_old_mut().name;
            name[..entry.len()].copy_from_slice(entry.as_bytes());
            header.set_cksum();
            builder.append(&header, content.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap();
        Some(path)
    }

    fn removed(&mut self, paths: &[&str]) {
        let lines: String =
            paths.iter().map(|path| serde_json::to_string(&EntryPath::new(*path)).unwrap() + "\n").collect();
        fs::write(self.at("removed"), lines).unwrap();
        self.restore.removed = Some(self.at("removed"));
    }

    fn read(&self) -> Result<Restored, TreeError> {
        let (root, home) = (self.at("home/workspace").display().to_string(), self.at("home"));
        let place = Place { start: root.clone(), root, refused: None };
        let home = home.display().to_string();
        Restored::read(Some(&self.restore), &agent(), &place, &home).map(Option::unwrap)
    }

    fn options() -> Options {
        Options {
            owner: None,
            links: Links::Keep,
            exclude: BTreeSet::new(),
            rules: Rules::All,
            max_bytes: u64::MAX,
        }
    }

    /// Copies and lays as a backend of directories does.
    fn laid(&self, index: Option<&Path>) -> Result<Files, TreeError> {
        let restored = self.read()?;
        let mut baseline = index.map(|index| Baseline::create(index).unwrap());
        let record = baseline.as_mut().map(|baseline| baseline.below(Path::new("")));
        let (workspace, home) = (self.at("home/workspace"), self.at("home"));
        tree::copy(&self.at("host"), &workspace, &Self::options(), record, &mut |_| true).unwrap();
        baseline.map_or(Ok(()), Baseline::finish).unwrap();
        restored.lay(Places { workspace: &workspace, home: &home }, None)?;
        Ok(files(&home))
    }

    /// Sends a stream as a backend of an engine does, and unpacks it.
    fn sent(&self, index: Option<&Path>) -> Result<Files, TreeError> {
        let restored = self.read()?;
        let mut baseline = index.map(|index| Baseline::create(index).unwrap());
        let (workspace, home) = (Path::new("/home/workspace"), Path::new("/home"));
        let mut bytes = Vec::new();
        let mut writer = TarWriter::new(&mut bytes);
        restored.cover(&mut writer, workspace);
        let record = baseline.as_mut().map(|baseline| baseline.below(Path::new("")));
        tree::append(&mut writer, &self.at("host"), workspace, &Self::options(), record).unwrap();
        baseline.map_or(Ok(()), Baseline::finish).unwrap();
        let owner = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        restored.append(&mut writer, Places { workspace, home }, owner)?;
        writer.finish()?;
        let mut seen = BTreeSet::new();
        for entry in tar::Archive::new(&bytes[..]).entries().unwrap() {
            let entry = entry.unwrap();
            let is_directory = entry.header().entry_type().is_dir();
            let path: PathBuf = entry.path().unwrap().components().collect();
            let below_another =
                path.ancestors().skip(1).any(|above| seen.contains(&(above.to_owned(), false)));
            assert!(!below_another, "{} is below what is not a directory", path.display());
            let is_twice = seen.contains(&(path.clone(), false)) || seen.contains(&(path.clone(), true));
            assert!(!is_twice, "{} is there twice", path.display());
            seen.insert((path, is_directory));
        }
        let unpacked = self.at("unpacked");
        tar::Archive::new(&bytes[..]).unpack(&unpacked).unwrap();
        Ok(files(&unpacked.join("home")))
    }

    /// Does both, and returns what they have come to, which is the same.
    #[track_caller]
    fn both(&self) -> Files {
        let (one, other) = (self.at("index-laid"), self.at("index-sent"));
        let laid = self.laid(Some(&one)).unwrap();
        assert_eq!(self.sent(Some(&other)).unwrap(), laid);
        let lines = |index: &Path| -> BTreeSet<String> {
            fs::read_to_string(index).unwrap().lines().map(|line| line.replace("448", "493")).collect()
        };
        assert_eq!(lines(&one), lines(&other), "the index is the same");
        laid
    }
}

fn files(top: &Path) -> Files {
    fn walk(top: &Path, at: &Path, found: &mut Files) {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(top).unwrap().display().to_string();
            let metadata = fs::symlink_metadata(&path).unwrap();
            if metadata.is_symlink() {
                found.insert(name, format!("-> {}", fs::read_link(&path).unwrap().display()));
            } else if metadata.is_dir() {
                found.insert(name, "/".to_owned());
                walk(top, &path, found);
            } else {
                let mode = if metadata.permissions().mode() & 0o100 != 0 { "x" } else { "-" };
                found.insert(name, format!("{mode} {}", fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut found = Files::new();
    walk(top, top, &mut found);
    found
}

fn names(files: &Files) -> Vec<&str> {
    files.keys().map(String::as_str).collect()
}

#[test]
fn new_files_lie_over_the_copy_and_what_was_removed_is_gone() {
    let mut world = World::new();
    world.host("kept", "host").host("changed", "old").host("gone", "x").host("dir/in", "x");
    world.host("empties/only", "x").host("stays/removed", "x").host("stays/new on the host", "y");
    world.host("becomes-dir", "file").host("becomes-file/below/deep", "x");
    symlink("kept", world.at("host/link")).unwrap();
    symlink("/etc", world.at("host/led")).unwrap();
    world.restore.workspace = world.archive(
        "workspace.tar",
        &[
            ("changed", "new"),
            ("dir/", ""),
            ("dir/run +x", "#!"),
            ("becomes-dir/", ""),
            ("becomes-dir/x", "in"),
            ("becomes-file", "now a file"),
            ("link -> /etc/passwd", ""),
            ("led/in/deep", "a directory now"),
            ("empty/", ""),
        ],
    );
    world.restore.sealed = world.archive("sealed.tar", &[(".git/refs/heads/agent", "1234")]);
    world.removed(&["gone", "empties", "empties/only", "stays", "stays/removed", "never/was"]);
    let files = world.both();
    let of = |path: &str| files.get(&format!("workspace/{path}")).map(String::as_str);
    for (path, expected) in [
        ("kept", Some("- host")),
        ("changed", Some("- new")),
        ("gone", None),
        ("dir/in", Some("- x")),
        ("dir/run", Some("x #!")),
        ("empties", None),
        ("stays/removed", None),
        ("stays/new on the host", Some("- y")),
        ("becomes-dir/x", Some("- in")),
        ("becomes-file", Some("- now a file")),
        ("link", Some("-> /etc/passwd")),
        ("led/in/deep", Some("- a directory now")),
        ("empty", Some("/")),
        (".git/refs/heads/agent", Some("- 1234")),
    ] {
        assert_eq!(of(path), expected, "{path}");
    }
}

#[test]
fn the_index_says_what_was_copied_in_as_if_nothing_were_laid() {
    let mut world = World::new();
    world.host("changed", "old").host("gone", "x").host("dir/in", "x").host("becomes-file/deep", "x");
    let plain = world.at("plain");
    world.laid(Some(&plain)).unwrap();
    fs::remove_dir_all(world.at("home/workspace")).unwrap();
    world.restore.workspace =
        world.archive("w.tar", &[("changed", "new"), ("added", "y"), ("becomes-file", "f")]);
    world.removed(&["gone", "dir", "dir/in"]);
    world.both();
    let lines = |name: &str| -> BTreeSet<String> {
        fs::read_to_string(world.at(name)).unwrap().lines().map(str::to_owned).collect()
    };
    assert_eq!(lines("index-laid"), lines("plain"));
}

#[test]
fn the_history_is_in_the_home_and_replaces_nothing_that_is_granted() {
    let mut world = World::new();
    world.restore.history = world.archive(
        "history.tar",
        &[
            (".claude/", ""),
            (".claude/projects/-w/id.jsonl", "{}"),
            (".claude/projects/away -> /etc", ""),
            (".claude/settings.json", "hooks"),
            (".claude/skills -> /etc", ""),
            (".claude.json", "x"),
            (".ssh/config", "x"),
            (".config -> /etc", ""),
            (".config/git/config", "x"),
            ("workspace/x", "x"),
            (".codex/sessions/1", "y"),
        ],
    );
    let files = world.both();
    let mut expected = vec![".claude", ".claude/projects", ".claude/projects/-w"];
    expected.extend([".claude/projects/-w/id.jsonl", ".claude/projects/away", ".codex", ".codex/sessions"]);
    expected.extend([".codex/sessions/1", "workspace"]);
    assert_eq!(names(&files), expected);
    let mode = |path: &str| fs::metadata(world.at("home").join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(".claude/projects/-w/id.jsonl"), mode(".claude/projects")), (0o600, 0o700));
}

#[test]
fn sessions_of_a_directory_that_lies_elsewhere_now_have_its_name() {
    let mut world = World::new();
    world.restore.history = world.archive("h.tar", &[(".claude/projects/-old-my-project/id.jsonl", "{}")]);
    world.restore.start = Some("/old/my_project/".to_owned());
    let start = world.at("home/workspace").display().to_string();
    let renamed: String = start.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let files = world.both();
    assert!(files.contains_key(&format!(".claude/projects/{renamed}/id.jsonl")), "{files:?}");
}

#[test]
fn an_archive_that_leads_out_is_refused_before_anything_is_written() {
    for (entries, reason) in [
        (&[("../outside/x", "x")][..], "leads out of its place"),
        (&[("/etc/x", "x")], "leads out of its place"),
        (&[("a/../../x", "x")], "leads out of its place"),
        (&[("out -> ../outside", ""), ("out/x", "x")], "is below a file or a link"),
        (&[("out/x", "x"), ("out -> ../outside", "")], "is there twice, and not as the same"),
        (&[("file", "x"), ("file/x", "x")], "is below a file or a link"),
    ] {
        for what in ["workspace", "sealed", "history"] {
            let mut world = World::new();
            let archive = world.archive("hostile.tar", entries);
            match what {
                "workspace" => world.restore.workspace = archive,
                "sealed" => world.restore.sealed = archive,
                _ => world.restore.history = archive,
            }
            let error = world.laid(None).unwrap_err().to_string();
            assert!(error.ends_with(reason), "{error}");
            assert!(world.sent(None).is_err());
            assert_eq!(names(&files(&world.at("home"))), ["workspace"]);
            assert_eq!(names(&files(&world.at("outside"))), Vec::<&str>::new());
        }
    }
    let mut world = World::new();
    world.removed(&["../outside"]);
    assert!(world.read().unwrap_err().to_string().ends_with("leads out of its place"));
    let mut world = World::new();
    let path = world.at("fifo.tar");
    let mut builder = tar::Builder::new(File::create(&path).unwrap());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Link);
    header.set_size(0);
    builder.append_link(&mut header, "hard", "/etc/passwd").unwrap();
    builder.into_inner().unwrap();
    world.restore.workspace = Some(path);
    assert!(world.read().unwrap_err().to_string().contains("is not a file, a directory or a symbolic link"));
}

#[test]
fn a_link_of_the_copy_leads_nothing_that_is_laid_or_removed_elsewhere() {
    let mut world = World::new();
    fs::write(world.at("outside/target"), "mine").unwrap();
    for name in ["dir", "file", "gone"] {
        let target = if name == "file" { world.at("outside/target") } else { world.at("outside") };
        symlink(target, world.at("host").join(name)).unwrap();
    }
    world.restore.workspace = world.archive("w.tar", &[("dir/target", "agent's"), ("file", "agent's")]);
    world.removed(&["gone/target"]);
    let laid = world.laid(None).unwrap();
    assert_eq!(laid["workspace/dir/target"], "- agent's");
    assert_eq!(laid["workspace/file"], "- agent's");
    assert_eq!(fs::read_to_string(world.at("outside/target")).unwrap(), "mine");
}
