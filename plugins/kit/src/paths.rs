//! Errors about files of the host: what was done to which path, and what helps against a full disk.

use std::io;
use std::path::Path;

use claude_bottle_plugin_api::{Failure, FailureKind, Result};

/// Adds to an error what was done to which file.
pub trait PathExt<T> {
    /// Makes the error the cause of a failure about the path.
    fn at(self, verb: &str, path: &Path) -> Result<T>;
}

impl<T, E: Into<io::Error>> PathExt<T> for std::result::Result<T, E> {
    fn at(self, verb: &str, path: &Path) -> Result<T> {
        self.map_err(|error| {
            let error: io::Error = error.into();
            let kind = match error.kind() {
                io::ErrorKind::NotFound => FailureKind::Missing,
                io::ErrorKind::PermissionDenied => FailureKind::Denied,
                _ => FailureKind::Internal,
            };
            let failure = Failure::new(kind, format!("{verb} `{}`", show(path))).caused_by(&error);
            full_disk_hint(&error, path).into_iter().fold(failure, Failure::hint)
        })
    }
}

/// Names what helps when a file system or the user's share of it is full.
pub fn full_disk_hint(error: &io::Error, path: &Path) -> Option<String> {
    let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    // What is below the directory of bottles is gone when the user reads this.
    let place = path.ancestors().find(|place| place.ends_with("bottles")).unwrap_or(path);
    is_full.then(|| {
        format!(
            "df -h '{}'   # it is full; free space there, or set XDG_DATA_HOME to a directory elsewhere",
            show(place)
        )
    })
}

/// Returns a path that drives no terminal.
pub fn show(path: &Path) -> String {
    path.as_os_str().as_encoded_bytes().escape_ascii().to_string()
}
