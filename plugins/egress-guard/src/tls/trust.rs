//! The trust files of the bottle, next to the guard's socket: what clients inside trust for hosts.
//!
//! A client reads one of them: `ca.pem` in addition to what it trusts already, or `bundle.pem` in its place, where the hosts that
//! are not opened have their authorities too. `bundle.jks` is the same for Java.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::jks;

/// The bottle's authority alone.
const AUTHORITY: &str = "ca.pem";
/// The bottle's authority behind those of hosts outside.
const BUNDLE: &str = "bundle.pem";
/// The same for Java.
const STORE: &str = "bundle.jks";

/// Read by everyone.
const MODE: u32 = 0o444;

/// Writes the files, which every user may read and none may write. Those of an earlier guard are replaced, and no link is followed.
pub(crate) fn write(directory: &Path, authority: &str, roots: &str) -> io::Result<()> {
    let between = if roots.ends_with('\n') { "" } else { "\n" };
    let bundle = format!("{roots}{between}{authority}");
    let store = jks::store(&bundle).map_err(io::Error::other)?;
    put(&directory.join(AUTHORITY), authority.as_bytes())?;
    put(&directory.join(BUNDLE), bundle.as_bytes())?;
    put(&directory.join(STORE), &store)
}

/// Puts a file in its place whole. There is one at every moment, since an engine looks for what it is to bind while this is done.
fn put(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&new)?;
    // Whatever the process's mask takes away.
    file.set_permissions(Permissions::from_mode(MODE))?;
    file.write_all(content)?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_files_are_new_and_no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let elsewhere = dir.path().join("elsewhere");
        fs::write(&elsewhere, "mine").unwrap();
        symlink(&elsewhere, dir.path().join(AUTHORITY)).unwrap();
        for _ in 0..2 {
            write(dir.path(), "A\n", "R1\nR2").unwrap();
        }
        let read = |name| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!((read(AUTHORITY), read(BUNDLE)), ("A\n".to_owned(), "R1\nR2\nA\n".to_owned()));
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "mine");
        let mode = |name| fs::symlink_metadata(dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!([AUTHORITY, BUNDLE, STORE].map(mode), [0o100_444; 3]);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(BUNDLE)).unwrap();
        assert!(write(dir.path(), "A\n", "R\n").is_err());
    }
}
