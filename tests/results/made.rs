//! Makes a saved result from two trees, as the end of a run does: for tests of what is done with one.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use claude_bottle::results::contents::Contents;
use claude_bottle::results::hash::of_document;
use claude_bottle::results::inspect::inspect;
use claude_bottle::results::marks::{Before, hooks};
use claude_bottle::results::model::{Change, LeftOut, Origin, ResultState, SavedResult, Side, VERSION};
use claude_bottle::results::repository::Repository;
use claude_bottle::results::store::{BASE, DOCUMENT, FILES, Saved, Store};
use claude_bottle_egress_policy::GuardSecrets;
use claude_bottle_plugin_api::{EntryKind, EntryPath};
use sha2::{Digest, Sha256};

/// What is in a tree, by paths.
pub(crate) type Census = BTreeMap<PathBuf, Side>;

/// Returns what is in a tree, as far as results are about it.
pub(crate) fn census(tree: &Path) -> Census {
    let mut found = Census::new();
    walk(tree, Path::new(""), &mut found);
    found
}

fn walk(tree: &Path, below: &Path, found: &mut Census) {
    for entry in fs::read_dir(tree.join(below)).unwrap().map(Result::unwrap) {
        let path = below.join(entry.file_name());
        if path == Path::new(".git") {
            continue;
        }
        let metadata = fs::symlink_metadata(tree.join(&path)).unwrap();
        let mut side =
            Side { kind: EntryKind::Directory, executable: false, size: 0, sha256: None, target: None };
        if metadata.is_symlink() {
            side.kind = EntryKind::Link;
            side.target = Some(EntryPath::new(fs::read_link(tree.join(&path)).unwrap()));
        } else if metadata.is_file() {
            let bytes = fs::read(tree.join(&path)).unwrap();
            side.kind = EntryKind::File;
            side.executable = metadata.permissions().mode() & 0o100 != 0;
            side.size = metadata.size();
            side.sha256 = Some(hash(&bytes));
        } else {
            walk(tree, &path, found);
        }
        found.insert(path, side);
    }
}

pub(crate) fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The two trees of a result, and the user's directory, which is as the first one.
pub(crate) struct Made {
    root: tempfile::TempDir,
    /// Values that the changes are searched for; without them they are unchecked.
    pub(crate) secrets: Option<GuardSecrets>,
}

impl Made {
    pub(crate) fn new() -> Self {
        let made = Self { root: tempfile::tempdir().unwrap(), secrets: Some(GuardSecrets::default()) };
        for name in ["here", "before", "after", "state"] {
            fs::create_dir(made.path(name)).unwrap();
        }
        made
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().canonicalize().unwrap().join(name)
    }

    /// The user's directory.
    pub(crate) fn here(&self) -> PathBuf {
        self.path("here")
    }

    /// Lays a file in what was copied in, and in the user's directory.
    pub(crate) fn before(&self, path: impl AsRef<Path>, text: impl AsRef<[u8]>) -> &Self {
        for tree in ["before", "after", "here"] {
            write(&self.path(tree).join(&path), &text);
        }
        self
    }

    /// Lays a file in the bottle.
    pub(crate) fn after(&self, path: impl AsRef<Path>, text: impl AsRef<[u8]>) -> &Self {
        write(&self.path("after").join(path), text);
        self
    }

    /// Removes a file from the bottle.
    pub(crate) fn gone(&self, path: &str) -> &Self {
        fs::remove_file(self.path("after").join(path)).unwrap();
        self
    }

    /// Makes a link in the bottle.
    pub(crate) fn link(&self, path: &str, target: impl AsRef<Path>) -> &Self {
        let path = self.path("after").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::remove_file(&path).ok();
        std::os::unix::fs::symlink(target, path).unwrap();
        self
    }

    /// Saves the result where the program looks for it.
    pub(crate) fn save(&self) -> Saved {
        let store = self.path("state").join("claude-bottle");
        self.save_in(&store, "dev-0a1b2c3d")
    }

    /// Saves the result of a run.
    fn save_in(&self, state: &Path, run: &str) -> Saved {
        let dir = state.join("results").join(run);
        for place in [FILES, BASE] {
            fs::create_dir_all(dir.join(place)).unwrap();
        }
        let (old, new) = (census(&self.path("before")), census(&self.path("after")));
        let mut files = changes(&old, &new);
        for change in &mut files {
            keep(&self.path("after"), change.path.as_path(), change.new.as_ref(), &dir.join(FILES));
            keep(&self.path("before"), change.path.as_path(), change.old.as_ref(), &dir.join(BASE));
            change.base_kept = change.old.is_some();
        }
        let before = Before {
            files: old.values().filter(|side| side.kind != EntryKind::Directory).count() as u64,
            hooks: hooks::directories(&self.here(), &self.path("home")),
            ..Before::default()
        };
        inspect(&mut files, &Contents::new(&dir), &before, self.secrets.as_ref()).unwrap();
        let mut result = SavedResult {
            version: VERSION,
            run: run.to_owned(),
            name: format!("fake-{run}"),
            agent: "dev".to_owned(),
            bottle: "dev".to_owned(),
            backend: "fake".to_owned(),
            directory: self.here(),
            base: Repository::find(&self.here()).map(|found| found.base()).unwrap_or_default(),
            saved_unix: 1_700_000_000,
            complete: true,
            secrets_checked: self.secrets.is_some(),
            files,
            left_out: LeftOut::default(),
            origin: Origin::default(),
            sealed: Vec::new(),
            commits: None,
            gone: Vec::new(),
            kept: None,
            digest: String::new(),
        };
        result.digest = of_document(&result).unwrap();
        fs::write(dir.join(DOCUMENT), serde_json::to_vec(&result).unwrap()).unwrap();
        let saved = Store::new(state).get(run).unwrap().unwrap();
        assert_eq!(saved.state, ResultState::New);
        saved
    }
}

fn write(path: &Path, text: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn changes(old: &Census, new: &Census) -> Vec<Change> {
    let paths: std::collections::BTreeSet<&PathBuf> = old.keys().chain(new.keys()).collect();
    let differing = paths.into_iter().filter(|path| old.get(*path) != new.get(*path));
    let change = |path: &PathBuf| {
        let change = Change::new(path, old.get(path).cloned(), new.get(path).cloned());
        Change { withheld: path.file_name() == Some(OsStr::new(".env")), ..change }
    };
    differing.map(change).collect()
}

fn keep(tree: &Path, path: &Path, side: Option<&Side>, into: &Path) {
    if let Some(sha256) = side.and_then(|side| side.sha256.as_ref()) {
        fs::copy(tree.join(path), into.join(sha256)).unwrap();
    }
}
