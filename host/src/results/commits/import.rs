//! Takes the agent's commits into the user's repository, on a branch of their own, from a text that is written here.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::Path;

use super::read::{Sink, read};
use super::{Commit, CommitsError, Parent, Step};
use crate::results::git::branch::{BranchError, quoted_path};
use crate::results::git::run::{Git, Verb};

/// Makes a branch of the commits of a text, and returns its last one. The name was checked and is free.
///
/// # Errors
/// Fails if the text is not taken, if a commit builds on one that `head` does not, or if git fails.
pub(in crate::results) fn import(
    text: &Path,
    git: &Git,
    reference: &str,
    head: &str,
) -> Result<(), BranchError> {
    let mut parents = Known::default();
    read(open(text)?, &mut parents)?;
    for name in &parents.0 {
        let output =
            git.run(Verb::MergeBase, &["--is-ancestor", name, head], b"").map_err(BranchError::Git)?;
        if !output.status.success() {
            return Err(BranchError::Elsewhere(name.clone()));
        }
    }
    let write = |out: &mut dyn Write| {
        let mut writing = Writing { out, reference, failed: None };
        writing.line(b"feature done\n");
        let done = read(open(text).map_err(io::Error::other)?, &mut writing);
        writing.line(b"done\n");
        match (writing.failed, done) {
            (Some(error), _) => Err(error),
            (None, done) => done.map_err(io::Error::other),
        }
    };
    let output = git.run_with(Verb::FastImport, &["--quiet", "--done"], write).map_err(BranchError::Git)?;
    if output.status.success() {
        return Ok(());
    }
    Err(BranchError::Git(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned())))
}

fn open(text: &Path) -> Result<BufReader<File>, BranchError> {
    Ok(BufReader::new(File::open(text).map_err(BranchError::Git)?))
}

/// The commits of the user's that the agent's build on.
#[derive(Default)]
struct Known(BTreeSet<String>);

impl Sink for Known {
    fn blob(&mut self, _mark: u64, _bytes: Vec<u8>) -> Result<(), CommitsError> {
        Ok(())
    }

    fn commit(&mut self, commit: Commit) -> Result<(), CommitsError> {
        self.0.extend(commit.parents.into_iter().filter_map(|parent| match parent {
            Parent::Known(name) => Some(name),
            Parent::Own(_) => None,
        }));
        Ok(())
    }
}

/// Writes what was read, and nothing else that was in the text.
struct Writing<'a> {
    out: &'a mut dyn Write,
    reference: &'a str,
    failed: Option<io::Error>,
}

impl Writing<'_> {
    fn line(&mut self, text: &[u8]) {
        if self.failed.is_none() {
            self.failed = self.out.write_all(text).err();
        }
    }

    fn data(&mut self, bytes: &[u8]) {
        self.line(format!("data {}\n", bytes.len()).as_bytes());
        self.line(bytes);
        self.line(b"\n");
    }
}

impl Sink for Writing<'_> {
    fn blob(&mut self, mark: u64, bytes: Vec<u8>) -> Result<(), CommitsError> {
        self.line(format!("blob\nmark :{mark}\n").as_bytes());
        self.data(&bytes);
        Ok(())
    }

    fn commit(&mut self, commit: Commit) -> Result<(), CommitsError> {
        let Commit { mark, author, committer, message, parents, steps } = commit;
        let reference = self.reference;
        self.line(
            format!("commit {reference}\nmark :{mark}\nauthor {author}\ncommitter {committer}\n").as_bytes(),
        );
        self.data(message.as_bytes());
        for (index, parent) in parents.iter().enumerate() {
            let word = if index == 0 { "from" } else { "merge" };
            let name = match parent {
                Parent::Own(mark) => format!(":{mark}"),
                Parent::Known(name) => name.clone(),
            };
            self.line(format!("{word} {name}\n").as_bytes());
        }
        for step in steps {
            let line = match step {
                Step::Put { path, mode, blob } => {
                    format!("M {} :{blob} {}\n", mode.digits(), quoted_path(&path))
                }
                Step::Remove(path) => format!("D {}\n", quoted_path(&path)),
            };
            self.line(line.as_bytes());
        }
        self.line(b"\n");
        Ok(())
    }
}
