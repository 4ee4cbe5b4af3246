//! Reads the text of `git fast-export`, strictly: what is not known is refused, and nothing is read without a bound.

use std::collections::HashSet;
use std::io::{BufRead, Read};

use super::form::{self, MOST_LINE};
use super::{Commit, CommitsError, MOST_BYTES, MOST_CHANGES, MOST_COMMITS, Parent, Step};

/// The longest message.
const MOST_MESSAGE: u64 = 1 << 20;

/// Takes what the text has, in its order.
pub trait Sink {
    /// Contents of a file, or a link's target.
    ///
    /// # Errors
    /// What it returns ends the reading.
    fn blob(&mut self, mark: u64, bytes: Vec<u8>) -> Result<(), CommitsError>;

    /// A commit. All that it names has come before.
    ///
    /// # Errors
    /// What it returns ends the reading.
    fn commit(&mut self, commit: Commit) -> Result<(), CommitsError>;
}

/// Reads a text to its end.
///
/// # Errors
/// Fails at the first thing that is not as `git fast-export` writes it, that cannot be in a repository, or of which there is too
/// much.
pub fn read(source: impl BufRead, sink: &mut dyn Sink) -> Result<(), CommitsError> {
    let mut reader = Reader {
        source,
        left: MOST_BYTES,
        line: 0,
        again: None,
        blobs: HashSet::new(),
        commits: HashSet::new(),
        changes: 0,
    };
    while let Some(line) = reader.next()? {
        match line.as_slice() {
            b"" | b"feature done" => {}
            b"done" => return Ok(()),
            b"blob" => {
                let mark = reader.mark()?;
                let bytes = reader.data(MOST_BYTES)?;
                reader.blobs.insert(mark);
                sink.blob(mark, bytes)?;
            }
            line if line.starts_with(b"commit ") => {
                let commit = reader.commit()?;
                sink.commit(commit)?;
            }
            line if line.starts_with(b"reset ") => reader.reset()?,
            _ => return Err(reader.wrong("it is not a part of a history")),
        }
    }
    Ok(())
}

struct Reader<R> {
    source: R,
    left: u64,
    line: u64,
    /// A line that was looked at and belongs to what comes.
    again: Option<Vec<u8>>,
    blobs: HashSet<u64>,
    commits: HashSet<u64>,
    changes: usize,
}

impl<R: BufRead> Reader<R> {
    fn wrong(&self, what: &'static str) -> CommitsError {
        CommitsError::Form { line: self.line, what }
    }

    /// Reads a line without its end; `None` at the end of the text.
    fn next(&mut self) -> Result<Option<Vec<u8>>, CommitsError> {
        if let Some(line) = self.again.take() {
            return Ok(Some(line));
        }
        let mut line = Vec::new();
        let most = (MOST_LINE as u64).min(self.left) + 1;
        self.source.by_ref().take(most).read_until(b'\n', &mut line)?;
        self.line += 1;
        self.left = self.left.saturating_sub(line.len() as u64);
        match line.pop() {
            None => Ok(None),
            Some(b'\n') => Ok(Some(line)),
            Some(_) if line.len() as u64 + 1 == most => Err(self.wrong("it is too long")),
            Some(_) => Err(self.wrong("it is cut off")),
        }
    }

    fn text(&mut self, what: &'static str) -> Result<String, CommitsError> {
        let line = self.next()?.ok_or_else(|| self.wrong(what))?;
        String::from_utf8(line).map_err(|_| self.wrong(what))
    }

    /// Reads the rest of a line with this word, if the next line has it.
    fn after(&mut self, word: &str) -> Result<Option<String>, CommitsError> {
        let Some(line) = self.next()? else { return Ok(None) };
        let Some(rest) = line.strip_prefix(word.as_bytes()) else {
            self.again = Some(line);
            return Ok(None);
        };
        let rest = String::from_utf8(rest.to_vec());
        rest.map(Some).map_err(|_| self.wrong("it is not UTF-8"))
    }

    fn mark(&mut self) -> Result<u64, CommitsError> {
        let what = "a number was to come";
        let line = self.text(what)?;
        let mark = line.strip_prefix("mark ").and_then(form::mark).ok_or_else(|| self.wrong(what))?;
        let is_new = !self.blobs.contains(&mark) && !self.commits.contains(&mark);
        is_new.then_some(mark).ok_or_else(|| self.wrong("the number was there before"))
    }

    /// Reads contents whose length is said first.
    fn data(&mut self, most: u64) -> Result<Vec<u8>, CommitsError> {
        let what = "a length was to come";
        let line = self.text(what)?;
        let size = line.strip_prefix("data ").and_then(form::number).ok_or_else(|| self.wrong(what))?;
        if size > most.min(self.left) {
            return Err(CommitsError::TooMuch("they may"));
        }
        let mut bytes = Vec::new();
        self.source.by_ref().take(size).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != size {
            return Err(self.wrong("contents are cut off"));
        }
        self.left -= size;
        self.line += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        Ok(bytes)
    }

    /// Reads what sets a reference, which the text has before commits; all of them get a reference of ours.
    fn reset(&mut self) -> Result<(), CommitsError> {
        if let Some(from) = self.after("from ")? {
            self.parent(&from)?;
        }
        Ok(())
    }

    fn parent(&self, text: &str) -> Result<Parent, CommitsError> {
        match form::mark(text) {
            Some(mark) if self.commits.contains(&mark) => Ok(Parent::Own(mark)),
            None if form::is_name(text) => Ok(Parent::Known(text.to_owned())),
            _ => Err(self.wrong("it names no earlier commit")),
        }
    }

    fn person(&self, text: &str) -> Result<String, CommitsError> {
        let is_right = form::is_person(text);
        is_right.then(|| text.to_owned()).ok_or_else(|| self.wrong("it is not a person and a time"))
    }

    fn commit(&mut self) -> Result<Commit, CommitsError> {
        if self.commits.len() == MOST_COMMITS {
            return Err(CommitsError::TooMuch("10,000 commits"));
        }
        let mark = self.mark()?;
        let author = self.after("author ")?;
        let committer = self.after("committer ")?.ok_or_else(|| self.wrong("a committer was to come"))?;
        let committer = self.person(&committer)?;
        let author = author.map_or(Ok(committer.clone()), |author| self.person(&author))?;
        let message = String::from_utf8(self.data(MOST_MESSAGE)?);
        let message = message.ok().filter(|message| form::is_message(message));
        let message =
            message.ok_or_else(|| self.wrong("a message has what a terminal obeys, or is not UTF-8"))?;
        let parents = self.parents()?;
        let steps = self.steps()?;
        self.commits.insert(mark);
        Ok(Commit { mark, author, committer, message, parents, steps })
    }

    fn parents(&mut self) -> Result<Vec<Parent>, CommitsError> {
        // What comes behind contents may have an empty line in between.
        if let Some(line) = self.next()?.filter(|line| !line.is_empty()) {
            self.again = Some(line);
        }
        let from =
            self.after("from ")?.ok_or_else(|| self.wrong("a commit does not build on another one"))?;
        let mut parents = vec![self.parent(&from)?];
        while let Some(merged) = self.after("merge ")? {
            parents.push(self.parent(&merged)?);
            if parents.len() > 64 {
                return Err(self.wrong("a commit builds on too many others"));
            }
        }
        Ok(parents)
    }

    fn steps(&mut self) -> Result<Vec<Step>, CommitsError> {
        let mut steps = Vec::new();
        while let Some(line) = self.next()? {
            let step = match line.split_first() {
                None => break,
                Some((b'D', rest)) => Step::Remove(form::path(self.rest(rest)?, None)?),
                Some((b'M', rest)) => self.put(rest)?,
                // The next part may follow at once.
                _ => {
                    self.again = Some(line);
                    break;
                }
            };
            steps.push(step);
            self.changes += 1;
            if self.changes > MOST_CHANGES {
                return Err(CommitsError::TooMuch("500,000 changes of files"));
            }
        }
        Ok(steps)
    }

    fn rest<'l>(&self, line: &'l [u8]) -> Result<&'l [u8], CommitsError> {
        line.strip_prefix(b" ").ok_or_else(|| self.wrong("it is not a change of a file"))
    }

    /// Reads `M MODE :NUMBER PATH`.
    fn put(&self, line: &[u8]) -> Result<Step, CommitsError> {
        let wrong = || self.wrong("it is not a change of a file");
        let mut words = self.rest(line)?.splitn(3, |byte| *byte == b' ');
        let mut word = || words.next().and_then(|word| std::str::from_utf8(word).ok());
        let mode = word()
            .and_then(form::mode)
            .ok_or_else(|| self.wrong("it is a kind of file that is not taken"))?;
        let blob = word().and_then(form::mark).filter(|mark| self.blobs.contains(mark));
        let blob = blob.ok_or_else(|| self.wrong("it names no earlier contents"))?;
        let path = form::path(words.next().ok_or_else(wrong)?, Some(mode))?;
        Ok(Step::Put { path, mode, blob })
    }
}
