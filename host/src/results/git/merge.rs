//! Merges a file that changed on both sides, by `git merge-file`, in an empty directory outside any repository.

use std::fs;
use std::io;
use std::path::Path;

use super::run::{Git, Verb};
use crate::results::text;

/// More conflicts than this are all the same; what is above is an error of git's.
const MOST_CONFLICTS: i32 = 127;

/// What came of a merge.
#[derive(Debug, PartialEq, Eq)]
pub struct Merged {
    /// The file.
    pub bytes: Vec<u8>,
    /// How many places have conflict markers.
    pub conflicts: usize,
}

/// Merges; `None` if a side is not text, or too large.
///
/// # Errors
/// Fails if git cannot be run, or fails.
pub fn merge(base: &[u8], here: &[u8], new: &[u8], run: &str) -> io::Result<Option<Merged>> {
    let fits = |bytes: &&[u8]| {
        !text::is_binary(bytes)
            && bytes.len() <= text::MOST_BYTES
            && text::lines(bytes).len() <= text::MOST_LINES
    };
    if ![base, here, new].iter().all(fits) {
        return Ok(None);
    }
    let directory = tempfile::Builder::new().prefix("claude-bottle-merge-").tempdir()?;
    for (name, bytes) in [("here", here), ("base", base), ("new", new)] {
        fs::write(directory.path().join(name), bytes)?;
    }
    let git = find(directory.path())?;
    let words = ["-p", "-q", "-L", "here", "-L", "as copied in", "-L", run, "here", "base", "new"];
    let output = git.run(Verb::MergeFile, &words, b"")?;
    match output.status.code() {
        Some(code @ 0..=MOST_CONFLICTS) => {
            let conflicts = usize::try_from(code).unwrap_or_default();
            Ok(Some(Merged { bytes: output.stdout, conflicts }))
        }
        _ => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
    }
}

fn find(directory: &Path) -> io::Result<Git> {
    Git::find(directory).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "git is not installed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(base: &str, here: &str, new: &str) -> Option<(String, usize)> {
        let merged = merge(base.as_bytes(), here.as_bytes(), new.as_bytes(), "dev-1").unwrap()?;
        Some((String::from_utf8(merged.bytes).unwrap(), merged.conflicts))
    }

    #[test]
    fn edits_far_apart_are_merged_and_of_one_line_marked() {
        let base = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
        let (here, new) = (base.replace('1', "one"), base.replace('9', "nine"));
        assert_eq!(merged(base, &here, &new).unwrap(), ("one\n2\n3\n4\n5\n6\n7\n8\nnine\n".to_owned(), 0));
        let (text, conflicts) = merged("a\n", "b\n", "c\n").unwrap();
        assert_eq!(conflicts, 1);
        assert_eq!(text, "<<<<<<< here\nb\n=======\nc\n>>>>>>> dev-1\n");
        assert_eq!(merged("a\0", "b", "c"), None);
        let large = "x\n".repeat(30_000);
        assert_eq!(merged(&large, "b", "c"), None);
    }
}
