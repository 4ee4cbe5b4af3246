//! Places in which this user has made bottles. A user who has made none has no cluster asked about any.

use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use claude_bottle_kit::paths::PathExt;
use claude_bottle_plugin_api::Result;
use sha2::{Digest, Sha256};

use crate::cluster::Place;
use crate::send::hex;

/// The directory of one file a place, so that several starts may write at once.
const DIR: &str = "places";

/// Notes a place before anything is made there.
///
/// # Errors
/// Fails when that cannot be written: a bottle that no clean-up would find is not made.
pub(crate) fn note(data_dir: &Path, place: &Place) -> Result<()> {
    let text = serde_json::json!(place).to_string();
    let path = directory(data_dir).join(format!("{}.json", hex(&Sha256::digest(&text)[..16])));
    let write = || -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory(data_dir))?;
        let mut options = fs::OpenOptions::new();
        match options.write(true).create_new(true).mode(0o600).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            file => file?.write_all(text.as_bytes()),
        }
    };
    write().at("write", &path)
}

/// Returns all places that were noted.
///
/// # Errors
/// Fails when they cannot be read.
pub(crate) fn all(data_dir: &Path) -> Result<Vec<Place>> {
    let directory = directory(data_dir);
    let entries = match fs::read_dir(&directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.at("read", &directory)?,
    };
    let mut places = Vec::new();
    for entry in entries {
        let path = entry.at("read", &directory)?.path();
        // One that is being written has nothing in it yet, and nothing was made there.
        places.extend(serde_json::from_slice(&fs::read(&path).at("read", &path)?).ok());
    }
    Ok(places)
}

fn directory(data_dir: &Path) -> PathBuf {
    data_dir.join(DIR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_known_once_however_often_it_is_noted() {
        let dir = tempfile::tempdir().unwrap();
        assert!(all(dir.path()).unwrap().is_empty());
        let place = |name: &str| Place { context: Some("c".to_owned()), namespace: Some(name.to_owned()) };
        for name in ["a", "b", "a"] {
            note(dir.path(), &place(name)).unwrap();
        }
        let mut found = all(dir.path()).unwrap();
        found.sort_by_key(ToString::to_string);
        assert_eq!(found, [place("a"), place("b")]);
    }
}
