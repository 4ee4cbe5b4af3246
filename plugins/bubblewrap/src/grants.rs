//! What of the host is shown in a bottle at its own path, read-only: the manifest's `tools`, and what a program needs.

use std::env;
use std::path::{Path, PathBuf};

use claude_bottle_kit::why_private;
use claude_bottle_plugin_api::{Failure, FailureKind, Result, ToolSpec};
use serde::{Deserialize, Serialize};

use crate::program::is_shared;
use claude_bottle_kit::paths::{PathExt, show};

/// Variables by which tools find their own directory, and where that is when a variable is unset. They hold paths.
const VARIABLES: [(&str, &str); 20] = [
    ("ASDF_DATA_DIR", ".asdf"),
    ("ASDF_DIR", ".asdf"),
    ("BUN_INSTALL", ".bun"),
    ("CONDA_PREFIX", ""),
    ("DENO_INSTALL", ".deno"),
    ("FNM_DIR", ""),
    ("GOENV_ROOT", ".goenv"),
    ("GOROOT", ""),
    ("JAVA_HOME", ""),
    ("JENV_ROOT", ".jenv"),
    ("MISE_DATA_DIR", ".local/share/mise"),
    ("NODENV_ROOT", ".nodenv"),
    ("NVM_BIN", ""),
    ("NVM_DIR", ".nvm"),
    ("PNPM_HOME", ""),
    ("PYENV_ROOT", ".pyenv"),
    ("RBENV_ROOT", ".rbenv"),
    ("RUSTUP_HOME", ".rustup"),
    ("SDKMAN_DIR", ".sdkman"),
    ("VOLTA_HOME", ".volta"),
];

/// Directories and files of the host, and what programs are told of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grants {
    /// Shown at the same path; none lies below another.
    pub(crate) places: Vec<PathBuf>,
    /// Named by the manifest, and in every bottle anyway: what is in them is found by its name.
    #[serde(default)]
    pub(crate) usual: Vec<PathBuf>,
    /// Additional directories of the search path.
    pub(crate) search: Vec<String>,
    /// Variables.
    pub(crate) variables: Vec<(String, String)>,
}

impl Grants {
    /// Grants what the manifest names.
    pub(crate) fn of(tools: &[ToolSpec]) -> Result<Self> {
        let mut grants = Self::default();
        for tool in tools {
            if is_shared(&tool.path) {
                grants.usual.push(tool.path.clone());
            }
            grants.add(&tool.path).map_err(|refusal| {
                let message = format!("tools: `{}` {}", show(&tool.path), refusal.message);
                let hint = "name the directory below it that has the tools, such as ~/.cargo/bin";
                Failure::new(FailureKind::Denied, message).hint(hint)
            })?;
        }
        Ok(grants)
    }

    /// Adds a place and, when it is a link, what it leads to. The message of a failure goes on from the path.
    pub(crate) fn add(&mut self, path: &Path) -> Result<()> {
        let real = path.canonicalize().at("find", path)?;
        let home = env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        let real_home = home.as_ref().and_then(|home| home.canonicalize().ok());
        for place in [path, &real] {
            for home in [&home, &real_home] {
                if let Some(reason) = why_private(place, home.as_deref()) {
                    return Err(Failure::new(FailureKind::Denied, reason));
                }
            }
            if place.to_str().is_none() {
                return Err(Failure::new(FailureKind::Invalid, "is not UTF-8"));
            }
            self.keep(place);
        }
        Ok(())
    }

    fn keep(&mut self, place: &Path) {
        if !self.cover(place) {
            self.places.retain(|other| !other.starts_with(place));
            self.places.push(place.to_owned());
        }
    }

    /// Returns `true` if a place is shown, or in every bottle anyway.
    pub(crate) fn cover(&self, path: &Path) -> bool {
        is_shared(path) || self.places.iter().any(|place| path.starts_with(place))
    }

    /// Returns `true` if programs are told of a place: it is shown for this bottle's sake, or named.
    fn tells_of(&self, path: &Path) -> bool {
        let is_named = self.usual.iter().any(|place| path.starts_with(place));
        is_named || (!is_shared(path) && self.cover(path))
    }

    /// Returns `true` if a program in a directory is shown by itself: nothing else of the directory is.
    fn has_file_in(&self, directory: &Path) -> bool {
        self.places.iter().any(|place| place.parent() == Some(directory) && place.is_file())
    }

    /// Adds a directory to the search path.
    pub(crate) fn search_in(&mut self, directory: &Path) {
        let directory = directory.to_string_lossy().into_owned();
        if !self.search.contains(&directory) {
            self.search.push(directory);
        }
    }

    /// Works out what programs are told: of the host's search path and variables what is shown, and `bin` of each place.
    pub(crate) fn settle(mut self) -> Self {
        let path = env::var_os("PATH").unwrap_or_default();
        let on_path = env::split_paths(&path).filter(|directory| directory.is_absolute());
        let own = self.places.iter().chain(&self.usual).flat_map(|place| [place.clone(), place.join("bin")]);
        let own = own.filter(|place| place.ends_with("bin") && place.is_dir());
        for directory in on_path.chain(own).collect::<Vec<_>>() {
            if self.tells_of(&directory) || self.has_file_in(&directory) {
                self.search_in(&directory);
            }
        }
        let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        for (name, usual) in VARIABLES {
            let set = env::var_os(name).map(PathBuf::from);
            let value = set.or_else(|| (!usual.is_empty()).then(|| home.join(usual)));
            let value = value.filter(|value| value.is_absolute() && self.tells_of(value));
            if let Some(value) = value.as_ref().and_then(|value| value.to_str()) {
                self.variables.push((name.to_owned(), value.to_owned()));
            }
        }
        self
    }

    /// Names the places for the plan.
    pub(crate) fn listed(&self) -> Option<String> {
        let places: Vec<_> = self.places.iter().chain(&self.usual).map(|place| show(place)).collect();
        (!places.is_empty()).then(|| format!("{} (read-only)", places.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_every_bottle_and_named_is_on_the_search_path() {
        let named = Grants::of(&[ToolSpec::new("/usr/local")]).unwrap().settle();
        assert!(named.search.contains(&"/usr/local/bin".to_owned()), "{named:?}");
        assert_eq!(named.places, Vec::<PathBuf>::new());
        assert_eq!(named.listed().as_deref(), Some("/usr/local (read-only)"));
        assert_eq!(Grants::default().settle().search, Vec::<String>::new());
    }
}
