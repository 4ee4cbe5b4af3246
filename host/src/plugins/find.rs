//! Where plug-ins are looked for, and which file a backend's name stands for.
//!
//! The order: `CLAUDE_BOTTLE_PLUGIN_PATH`, the user's data directory, the directory beside the installed binary,
//! and the build tree for development. The first hit wins, also when it turns out to be unusable: falling through
//! to another file would hide the fault. A project's own manifest never names a directory here.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Identity, PluginError};

/// The variable that lists directories to look in first, separated by colons.
pub const PLUGIN_PATH_VARIABLE: &str = "CLAUDE_BOTTLE_PLUGIN_PATH";

const PREFIX: &str = "claude-bottle-backend-";
/// What cargo makes of the crate name `claude-bottle-backend-NAME`.
const CARGO_PREFIX: &str = "libclaude_bottle_backend_";
const SUFFIX: &str = ".so";
const LONGEST_NAME: usize = 40;

/// Which rule made a directory part of the search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// `CLAUDE_BOTTLE_PLUGIN_PATH` names it.
    PluginPath,
    /// It is in the user's data directory.
    DataDir,
    /// It is beside the installed binary: `<prefix>/lib/claude-bottle/plugins`.
    Installed,
    /// It is the cargo target directory the running binary was built into.
    BuildTree,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PluginPath => PLUGIN_PATH_VARIABLE,
            Self::DataDir => "data directory",
            Self::Installed => "next to the program",
            Self::BuildTree => "build tree",
        })
    }
}

/// What the search path is made from; nothing here is read from the process itself.
#[derive(Debug, Clone, Default)]
pub struct SearchInputs {
    /// The value of [`PLUGIN_PATH_VARIABLE`].
    pub plugin_path: Option<OsString>,
    /// The data directory of claude-bottle: `$XDG_DATA_HOME/claude-bottle`.
    pub data_dir: Option<PathBuf>,
    /// The running binary, as [`std::env::current_exe`] gives it.
    pub executable: Option<PathBuf>,
    /// Whose files are trusted.
    pub identity: Identity,
}

/// A directory in the search.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Directory {
    /// Where it is, absolute.
    pub path: PathBuf,
    /// Why it is looked in.
    pub origin: Origin,
}

/// A directory that was asked for and is not looked in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ignored {
    /// As it was given.
    pub path: PathBuf,
    /// Why not.
    pub reason: &'static str,
}

/// The directories to look in, in order, and whose files are trusted there.
#[derive(Debug, Clone)]
pub struct SearchPath {
    directories: Vec<Directory>,
    ignored: Vec<Ignored>,
    identity: Identity,
}

/// A file that could be the plug-in of a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The backend's name, from the file's.
    pub name: String,
    /// Where it is, not resolved.
    pub path: PathBuf,
    /// Which rule found it.
    pub origin: Origin,
}

impl SearchPath {
    /// Puts the directories together; whether they exist is not looked at.
    pub fn new(inputs: SearchInputs) -> Self {
        let mut path = Self { directories: Vec::new(), ignored: Vec::new(), identity: inputs.identity };
        let listed = inputs.plugin_path.as_deref().map(std::env::split_paths);
        for directory in listed.into_iter().flatten().filter(|path| !path.as_os_str().is_empty()) {
            path.add_from_environment(directory, Origin::PluginPath);
        }
        if let Some(data_dir) = inputs.data_dir {
            path.add_from_environment(data_dir.join("plugins"), Origin::DataDir);
        }
        let beside = inputs.executable.as_deref().and_then(Path::parent);
        if let Some(bin) = beside.filter(|dir| dir.is_absolute()) {
            if let Some(prefix) = bin.parent().filter(|_| bin.file_name() == Some(OsStr::new("bin"))) {
                path.add(prefix.join("lib/claude-bottle/plugins"), Origin::Installed);
            }
            if is_build_tree(bin) {
                path.add(bin.to_owned(), Origin::BuildTree);
            }
        }
        path
    }

    /// Adds a directory that an environment variable decided about.
    fn add_from_environment(&mut self, path: PathBuf, origin: Origin) {
        let reason = if self.identity.elevated {
            "the process runs with more rights than its caller, so its environment does not count"
        } else if !path.is_absolute() {
            "it is not absolute, so it would depend on the working directory"
        } else {
            return self.add(path, origin);
        };
        self.ignored.push(Ignored { path, reason });
    }

    fn add(&mut self, path: PathBuf, origin: Origin) {
        if self.directories.iter().all(|directory| directory.path != path) {
            self.directories.push(Directory { path, origin });
        }
    }

    /// Returns the directories, in order.
    pub fn directories(&self) -> &[Directory] {
        &self.directories
    }

    /// Returns what was asked for and is not looked in.
    pub fn ignored(&self) -> &[Ignored] {
        &self.ignored
    }

    /// Returns whose files are trusted.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Returns every file that stands for a backend's name; the first is the one, the others are shadowed.
    ///
    /// # Errors
    /// Fails when the name is none.
    pub fn candidates(&self, name: &str) -> Result<Vec<Candidate>, PluginError> {
        check_name(name)?;
        let files = self
            .directories
            .iter()
            .flat_map(|directory| file_names(name).map(|file| (directory.path.join(file), directory.origin)));
        // A dangling link is a hit as well: the user should hear of it.
        let hits = files.filter(|(path, _)| path.symlink_metadata().is_ok());
        Ok(hits.map(|(path, origin)| Candidate { name: name.to_owned(), path, origin }).collect())
    }

    /// Returns every file in the search that is called like a plug-in, by backend name, first hit first.
    pub fn scan(&self) -> BTreeMap<String, Vec<Candidate>> {
        let mut found: BTreeMap<String, Vec<Candidate>> = BTreeMap::new();
        for directory in &self.directories {
            for file in plugin_files(&directory.path) {
                let Some(name) = backend_of(&file) else { continue };
                let path = directory.path.join(&file);
                let candidate = Candidate { name: name.clone(), path, origin: directory.origin };
                found.entry(name).or_default().push(candidate);
            }
        }
        found
    }

    /// Makes the error for a name no file stands for.
    pub(super) fn not_found(&self, name: &str) -> PluginError {
        let mut looked: Vec<String> = self
            .directories
            .iter()
            .map(|directory| {
                let state = match fs::read_dir(&directory.path) {
                    Ok(_) => String::new(),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => ", does not exist".to_owned(),
                    Err(error) => format!(", not readable: {error}"),
                };
                format!("`{}` ({}{state})", super::shown(&directory.path), directory.origin)
            })
            .collect();
        looked.extend(
            self.ignored
                .iter()
                .map(|ignored| format!("not in `{}`: {}", super::shown(&ignored.path), ignored.reason)),
        );
        let available = self.scan().into_keys().filter(|name| check_name(name).is_ok()).collect();
        PluginError::NotFound { name: name.to_owned(), available, looked }
    }
}

/// Fails unless the text is a backend's name: `[a-z][a-z0-9-]*`, at most 40 characters.
///
/// # Errors
/// Names the text.
pub fn check_name(name: &str) -> Result<(), PluginError> {
    let mut bytes = name.bytes();
    let valid = name.len() <= LONGEST_NAME
        && bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if valid { Ok(()) } else { Err(PluginError::InvalidName { name: super::printable(name) }) }
}

/// Returns the file names a backend's plug-in may have; the first wins.
pub fn file_names(name: &str) -> [String; 2] {
    [format!("{PREFIX}{name}{SUFFIX}"), format!("{CARGO_PREFIX}{}{SUFFIX}", name.replace('-', "_"))]
}

/// Returns the backend a file's name stands for, be it a valid name or not.
pub fn backend_of(file: &str) -> Option<String> {
    let stem = file.strip_suffix(SUFFIX)?;
    match stem.strip_prefix(PREFIX) {
        Some(name) => Some(name.to_owned()),
        None => Some(stem.strip_prefix(CARGO_PREFIX)?.replace('_', "-")),
    }
}

/// Lists the plug-in files of a directory so that the name that wins comes first.
fn plugin_files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut files: Vec<String> = names.filter(|file| backend_of(file).is_some()).collect();
    // `claude-bottle-…` sorts before `libclaude_bottle_…`, which is the order of `file_names`.
    files.sort();
    files
}

/// Returns whether this is a profile directory of cargo's target directory.
///
/// Both `deps` and `.fingerprint` are made by every cargo build (<https://doc.rust-lang.org/cargo/reference/build-cache.html>);
/// a directory of installed programs has neither.
fn is_build_tree(directory: &Path) -> bool {
    directory.join("deps").is_dir() && directory.join(".fingerprint").is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_slugs() {
        for good in ["a", "docker", "my-engine-2", "x--y"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        let long = "a".repeat(41);
        for bad in ["", "-a", "1a", "Docker", "../x", "a/b", "a_b", "ä", "a\n", "a.so", &long] {
            assert!(matches!(check_name(bad), Err(PluginError::InvalidName { .. })), "{bad}");
        }
    }

    #[test]
    fn file_names_and_backend_names_are_inverse() {
        for file in file_names("my-engine") {
            assert_eq!(backend_of(&file).as_deref(), Some("my-engine"), "{file}");
        }
        for other in ["libdocker.so", "claude-bottle-backend-docker", "claude-bottle-backend-x.so.1"] {
            assert_eq!(backend_of(other), None, "{other}");
        }
    }

    #[test]
    fn the_order_is_variable_data_directory_installation() {
        let path = SearchPath::new(SearchInputs {
            plugin_path: Some("/b::relative:/a:/b".into()),
            data_dir: Some("/home/u/.local/share/claude-bottle".into()),
            executable: Some("/opt/cb/bin/claude-bottle".into()),
            identity: Identity::default(),
        });
        let paths: Vec<_> = path.directories().iter().map(|d| d.path.to_str().unwrap()).collect();
        assert_eq!(
            paths,
            ["/b", "/a", "/home/u/.local/share/claude-bottle/plugins", "/opt/cb/lib/claude-bottle/plugins"]
        );
        assert_eq!(path.ignored()[0].path, Path::new("relative"));
    }

    #[test]
    fn the_environment_does_not_count_with_raised_rights() {
        let path = SearchPath::new(SearchInputs {
            plugin_path: Some("/a".into()),
            data_dir: Some("/data".into()),
            executable: Some("/opt/cb/bin/claude-bottle".into()),
            identity: Identity { elevated: true, ..Identity::default() },
        });
        assert_eq!(path.directories().len(), 1);
        assert_eq!(path.directories()[0].origin, Origin::Installed);
        assert_eq!(path.ignored().len(), 2);
    }

    #[test]
    fn only_a_cargo_target_directory_counts_as_build_tree() {
        let dir = tempfile::tempdir().unwrap();
        let search = || {
            SearchPath::new(SearchInputs {
                executable: Some(dir.path().join("claude-bottle")),
                ..SearchInputs::default()
            })
        };
        fs::create_dir(dir.path().join("deps")).unwrap();
        assert!(search().directories().is_empty());
        fs::create_dir(dir.path().join(".fingerprint")).unwrap();
        assert_eq!(search().directories()[0].origin, Origin::BuildTree);
    }
}
