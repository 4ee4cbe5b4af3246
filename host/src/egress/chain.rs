//! Whether a run's decision log is as its proxy wrote it: the chain of its lines is followed over all of its files, up to the end
//! that the record of the run has.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use claude_bottle_egress_policy::{Break, End, Head, rotation};
use serde::Serialize;

use super::summary;

/// The longest line that is read; the guard cuts host and reason far below it.
const MOST_BYTES: u64 = 64 * 1024;
/// How many problems are kept; the others are counted.
const MOST_PROBLEMS: usize = 100;
/// How often a log is read that changes its files meanwhile.
const TRIES: usize = 5;

/// What came of it. Its keys are a contract.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// What is to be thought of the log.
    pub state: State,
    /// How many lines were read.
    pub lines: u64,
    /// How many older lines the log no longer has; the chain goes on from the last of them.
    pub dropped: u64,
    /// Where the chain ends.
    pub head: Head,
    /// Where it ended when the run did.
    pub recorded: Option<End>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// How much more is wrong.
    pub more_problems: usize,
}

/// What is to be thought of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Every line is there, as it was written, up to the end that is recorded.
    Intact,
    /// The run goes on: every line so far is as it was written.
    IntactSoFar,
    /// Something was changed, cut out or added.
    Broken,
    /// No line carries a hash: another proxy wrote them, or an older guard.
    NoHashes,
    /// The lines are as they were written, and where they ended is not recorded.
    NoEnd,
}

/// Something that is wrong.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What it is.
    #[serde(flatten)]
    pub found: Break,
    /// The file in which it shows.
    pub file: String,
    /// Its line there; the line after the last where something is missing at the end.
    pub at: u64,
    /// The same in words.
    pub text: String,
}

/// Checks the decision log in a run's directory against the end that the run's record has.
///
/// # Errors
/// Fails when a file of it is there and cannot be read.
pub fn check(run_dir: &Path, recorded: Option<End>, is_over: bool) -> io::Result<Checked> {
    let mut tries = 0;
    loop {
        tries += 1;
        let older = || fs::metadata(&summary::files(run_dir)[0]).map(|found| found.ino()).ok();
        let before = older();
        let checked = check_once(run_dir, recorded, is_over);
        // A log that was full meanwhile was read in two states.
        if is_over || older() == before || tries == TRIES {
            return checked;
        }
    }
}

fn check_once(run_dir: &Path, recorded: Option<End>, is_over: bool) -> io::Result<Checked> {
    let log = summary::log(run_dir);
    let begin = rotation::begin(&log)?;
    let mut reader = Follower { head: begin, ..Follower::default() };
    let files = summary::files(run_dir);
    for file in &files {
        reader.file = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        reader.at = 0;
        match File::open(file) {
            Ok(open) => reader.read(BufReader::new(open), is_over || *file != log)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let has_no_hashes = reader.lines > 0 && reader.head == Head::default();
    if let Some(end) = recorded.filter(|_| is_over && !has_no_hashes) {
        let ending = reader.head.ends_at(&end.head);
        reader.at += u64::from(matches!(ending, Err(Break::Missing { .. })));
        reader.note(ending);
        if rotation::end(&log)?.dropped != end.dropped {
            reader.note(Err(Break::Dropped));
        }
    }
    let is_chained = recorded.is_some_and(|end| end.head.line > 0);
    let state = match (has_no_hashes, reader.problems.is_empty()) {
        (true, _) if !is_chained => State::NoHashes,
        (true, _) | (_, false) => State::Broken,
        _ if !is_over => State::IntactSoFar,
        _ if recorded.is_none() => State::NoEnd,
        _ => State::Intact,
    };
    let Follower { head, lines, problems, more_problems, .. } = reader;
    Ok(Checked { state, lines, dropped: begin.line, head, recorded, problems, more_problems })
}

/// Follows the chain through the files of a log.
#[derive(Default)]
struct Follower {
    head: Head,
    file: String,
    at: u64,
    lines: u64,
    problems: Vec<Problem>,
    more_problems: usize,
}

impl Follower {
    fn read(&mut self, mut file: impl BufRead, is_whole: bool) -> io::Result<()> {
        let mut line = Vec::new();
        while file.by_ref().take(MOST_BYTES).read_until(b'\n', &mut line)? > 0 {
            let is_torn = !line.ends_with(b"\n");
            // The guard of a run that goes on may be writing it.
            if is_torn && !is_whole {
                return Ok(());
            }
            (self.at, self.lines) = (self.at + 1, self.lines + 1);
            let followed = if is_torn { Err(Break::Foreign) } else { self.head.follow(&line) };
            self.note(followed);
            line.clear();
        }
        Ok(())
    }

    fn note(&mut self, followed: Result<(), Break>) {
        let Err(found) = followed else { return };
        if self.problems.len() == MOST_PROBLEMS {
            self.more_problems += 1;
            return;
        }
        let (file, text) = (self.file.clone(), found.to_string());
        self.problems.push(Problem { found, file, at: self.at, text });
    }
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
