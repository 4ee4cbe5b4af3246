//! Files of the program's own that are replaced as a whole: a reader, and a loss of power, meet the old one or the new one.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Puts a new file in place of an old one, readable by the user alone, and on the disk when this returns.
///
/// The content is written in one call: a serializer that writes to a file itself makes one for each word.
///
/// # Errors
/// Fails when the directory is not there, or the disk does not take it.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(directory)?.sync_all()
}
