//! Why a backend could not be had, as one type: which file, what it is, what is needed, what to do.

use std::io;
use std::path::PathBuf;

use super::find::file_names;
use super::guard::GuardError;
use super::load::LoadError;
use super::preflight::PreflightError;
use super::shown;
use crate::manifest::nearest;

/// Why a backend could not be had.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The text is no backend's name.
    #[error("`{name}` is not a backend's name")]
    InvalidName {
        /// The text, printable.
        name: String,
    },
    /// No file stands for the name.
    #[error("backend `{name}` not found")]
    NotFound {
        /// The name.
        name: String,
        /// The names that files stand for.
        available: Vec<String>,
        /// Where files were looked for, and what was wrong there.
        looked: Vec<String>,
    },
    /// Another user could have written the file.
    #[error("plug-in `{}` is refused", shown(.path))]
    Guard {
        /// The file, as it was found.
        path: PathBuf,
        /// Why.
        #[source]
        source: GuardError,
    },
    /// The file is no plug-in for this host.
    #[error("plug-in `{}` cannot be used", shown(.path))]
    Preflight {
        /// The file, without links.
        path: PathBuf,
        /// Why.
        #[source]
        source: PreflightError,
    },
    /// The file is not the one that is pinned.
    #[error(
        "plug-in `{}` is refused: backend `{name}` is pinned to sha256 {expected}, and this file has {found}",
        shown(.path)
    )]
    Pin {
        /// The file, without links.
        path: PathBuf,
        /// The backend.
        name: String,
        /// The hash that is pinned.
        expected: String,
        /// The file's.
        found: String,
    },
    /// The file cannot be read to the end.
    #[error("cannot read plug-in `{}`", shown(.path))]
    Read {
        /// The file, without links.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The library does not load, or does not fit.
    #[error("plug-in `{}` cannot be loaded", shown(.path))]
    Load {
        /// The file, without links.
        path: PathBuf,
        /// Why.
        #[source]
        source: LoadError,
    },
}

impl PluginError {
    /// Returns a short stable name of the case, for JSON and for tests.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidName { .. } => "invalid-name",
            Self::NotFound { .. } => "not-found",
            Self::Guard { source, .. } => source.code(),
            Self::Preflight { source, .. } => source.code(),
            Self::Pin { .. } => "pinned",
            Self::Read { .. } => "read",
            Self::Load { source, .. } => source.code(),
        }
    }

    /// Returns advice, each a sentence or a command to paste.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::InvalidName { .. } => {
                vec!["a name is a lower-case letter, then letters, digits and hyphens: docker".to_owned()]
            }
            Self::NotFound { name, available, looked } => not_found_hints(name, available, looked),
            Self::Guard { source, .. } => source.hint().into_iter().collect(),
            Self::Preflight { source, .. } => source.hint().into_iter().collect(),
            Self::Pin { name, .. } => {
                vec![format!("if you trust the new file: claude-bottle plugin pin {name}")]
            }
            Self::Read { .. } => Vec::new(),
            Self::Load { source, .. } => source.hint().into_iter().collect(),
        }
    }
}

fn not_found_hints(name: &str, available: &[String], looked: &[String]) -> Vec<String> {
    let found = if available.is_empty() {
        "no backend was found at all".to_owned()
    } else {
        format!("available backends: {}", available.join(", "))
    };
    if let Some(near) = nearest(name, available.iter().map(String::as_str)) {
        return vec![found, format!("did you mean `{near}`?")];
    }
    let places = if looked.is_empty() { "nowhere".to_owned() } else { looked.join("; ") };
    let [file, _] = file_names(name);
    let install = format!("to add it: install -D -m 755 FILE ~/.local/share/claude-bottle/plugins/{file}");
    let mut hints = vec![found, format!("looked in: {places}"), install];
    if available.is_empty() {
        // `cargo install` has the program alone.
        hints.push(
            "to install the program with its plug-ins, in its source tree: make install PREFIX=~/.local"
                .to_owned(),
        );
    }
    hints
}
