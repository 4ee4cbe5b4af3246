//! What can be wrong with a manifest, and how it is told: all problems of a load, each with its place.

use std::fmt;
use std::path::{Path, PathBuf};

use super::excerpt::{Excerpt, printable};
use super::model::AgentName;
use super::source::{FileName, Source, Span};

/// Problems kept of one load; past that only their number is.
const MAX_PROBLEMS: usize = 20;

/// Declares the kinds with their codes once, so that code, documentation and tests list the same.
macro_rules! problem_kinds {
    ($($(#[$doc:meta])* $kind:ident = $code:literal,)*) => {
        /// What a problem is about. The code is stable and is explained in the manifest reference.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ProblemKind {
            $($(#[$doc])* $kind,)*
        }

        impl ProblemKind {
            /// Every kind there is.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// Returns the stable code.
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$kind => $code,)*
                }
            }
        }
    };
}

problem_kinds! {
    /// Neither directory has a manifest.
    NoFile = "no-file",
    /// One directory has two manifests.
    TwoFiles = "two-files",
    /// A manifest cannot be read.
    ReadFile = "read-file",
    /// A manifest is larger than the limit.
    FileTooLarge = "file-too-large",
    /// A manifest is not UTF-8 text.
    NotUtf8 = "not-utf8",
    /// A manifest or a value holds a NUL character.
    NulCharacter = "nul-character",
    /// A manifest is not YAML, or not JSON.
    Syntax = "syntax",
    /// A manifest holds nothing.
    Empty = "empty",
    /// A manifest holds several YAML documents.
    SeveralDocuments = "several-documents",
    /// A YAML anchor, alias or merge key.
    Alias = "alias",
    /// A YAML tag.
    Tag = "tag",
    /// Values nested deeper than any manifest needs.
    TooDeep = "too-deep",
    /// A key that stands twice in one mapping.
    DuplicateKey = "duplicate-key",
    /// A key with no meaning.
    UnknownKey = "unknown-key",
    /// The key `runtime` of earlier manifests.
    RuntimeKey = "runtime-key",
    /// A required key that is not there.
    MissingKey = "missing-key",
    /// A value of another type than the key takes.
    WrongType = "wrong-type",
    /// The name of an agent or a bottle that is no slug.
    BadName = "bad-name",
    /// A name that is no environment variable's, or one the bottle sets itself.
    BadEnvName = "bad-env-name",
    /// A value of an environment variable that cannot be meant.
    BadEnvValue = "bad-env-value",
    /// A rule, host name or address that cannot be used.
    BadHost = "bad-host",
    /// A port that is no port.
    BadPort = "bad-port",
    /// A value of the right type that means nothing.
    BadValue = "bad-value",
    /// A secret that goes to no host.
    MissingHosts = "missing-hosts",
    /// What is not a place for a secret.
    BadPlace = "bad-place",
    /// Two keys of which only one may be given.
    Conflict = "conflict",
    /// A file that the manifest names and that is not there or not readable.
    MissingFile = "missing-file",
    /// A file outside the project's directory, named by the project's own manifest.
    OutsideProject = "outside-project",
    /// A skill that is not installed.
    MissingSkill = "missing-skill",
    /// A bottle that no manifest defines.
    UndefinedBottle = "undefined-bottle",
    /// Bottles in the working directory's manifest, which the user has not trusted.
    Untrusted = "untrusted",
}

/// One thing that is wrong.
#[derive(Debug, Clone)]
pub struct Problem {
    kind: ProblemKind,
    message: String,
    file: Option<FileName>,
    place: Option<Span>,
    excerpt: Option<Excerpt>,
    notes: Vec<String>,
    hint: Option<String>,
    /// The agent whose entry it is in, which alone cannot be used then.
    agent: Option<AgentName>,
}

impl Problem {
    /// Makes a problem that has no file.
    pub(crate) fn new(kind: ProblemKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            file: None,
            place: None,
            excerpt: None,
            notes: Vec::new(),
            hint: None,
            agent: None,
        }
    }

    /// Makes a problem of a file as a whole.
    pub(crate) fn in_file(kind: ProblemKind, file: &FileName, message: impl Into<String>) -> Self {
        Self { file: Some(file.clone()), ..Self::new(kind, message) }
    }

    /// Makes a problem of a place in a file. Its excerpt is cut out later, by [`Problems::illustrate`].
    pub(crate) fn at(kind: ProblemKind, source: &Source, span: Span, message: impl Into<String>) -> Self {
        Self { place: Some(span), ..Self::in_file(kind, source.name(), message) }
    }

    /// Cuts the excerpt out of the file.
    #[must_use]
    pub(crate) fn illustrated(mut self, source: &Source) -> Self {
        self.excerpt = self.place.map(|span| Excerpt::new(source, span));
        self
    }

    /// Adds a line below the excerpt.
    #[must_use]
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Adds "did you mean", when something was found.
    #[must_use]
    pub(crate) fn did_you_mean(self, nearest: Option<&str>) -> Self {
        let mut problem = self;
        // What was meant is read before what there is.
        if let Some(nearest) = nearest {
            problem.notes.insert(0, format!("did you mean `{nearest}`?"));
        }
        problem
    }

    /// Sets the advice, which names a command to paste.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says in whose entry it is.
    #[must_use]
    pub(crate) fn of_agent(mut self, agent: &AgentName) -> Self {
        self.agent = Some(agent.clone());
        self
    }

    /// Returns the agent that alone cannot be used because of it.
    pub(crate) fn agent(&self) -> Option<&AgentName> {
        self.agent.as_ref()
    }

    /// Returns what the problem is about.
    pub fn kind(&self) -> ProblemKind {
        self.kind
    }

    /// Returns the message, without place, notes and advice, safe to print.
    pub fn message(&self) -> String {
        printable(&self.message)
    }

    /// Returns the file it is in.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(|file| file.path.as_path())
    }

    /// Returns line and column, both counted from 1.
    pub fn position(&self) -> Option<(usize, usize)> {
        self.place.map(|span| (span.start.line, span.start.column))
    }

    /// Returns the lines below the excerpt: what was meant perhaps, and what is available.
    pub fn notes(&self) -> impl Iterator<Item = String> {
        self.notes.iter().map(|note| printable(note))
    }

    /// Returns the advice.
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

/// Writes the problem as a block of lines, without the advice: place, message, excerpt, notes.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}:", printable(&file.shown))?;
            if let Some((line, column)) = self.position() {
                write!(f, "{line}:{column}:")?;
            }
            f.write_str(" ")?;
        }
        write!(f, "{} [{}]", self.message(), self.kind.code())?;
        if let Some(excerpt) = &self.excerpt {
            write!(f, "\n{excerpt}")?;
        }
        for note in self.notes() {
            write!(f, "\n    = {note}")?;
        }
        Ok(())
    }
}

/// Problems as they are found.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    kept: Vec<Problem>,
    dropped: usize,
}

impl Problems {
    pub(crate) fn push(&mut self, problem: Problem) {
        if self.kept.len() < MAX_PROBLEMS {
            self.kept.push(problem);
        } else {
            self.dropped += 1;
        }
    }

    /// Says that those which were found since there were `before` are of one agent's entry.
    pub(crate) fn blame(&mut self, before: usize, agent: &AgentName) {
        for problem in self.kept.iter_mut().skip(before) {
            problem.agent = Some(agent.clone());
        }
    }

    /// Takes those out that are each of one agent alone, unless there are others.
    pub(crate) fn take_of_agents(&mut self) -> Vec<Problem> {
        let is_bounded = self.dropped == 0 && self.kept.iter().all(|problem| problem.agent.is_some());
        if is_bounded { std::mem::take(&mut self.kept) } else { Vec::new() }
    }

    /// Returns how many there are, the dropped ones included.
    pub(crate) fn count(&self) -> usize {
        self.kept.len() + self.dropped
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Cuts the excerpts of one file out, once it is known what of it may be shown. Only problems that were kept get
    /// one, since a hostile file has a hundred thousand problems in one long line.
    pub(crate) fn illustrate(&mut self, source: &Source) {
        let missing = |problem: &&mut Problem| {
            problem.excerpt.is_none() && problem.file.as_ref() == Some(source.name())
        };
        for problem in self.kept.iter_mut().filter(missing) {
            problem.excerpt = problem.place.map(|span| Excerpt::new(source, span));
        }
    }

    /// Tells whether further problems are only counted, so that nobody works out their wording.
    pub(crate) fn is_full(&self) -> bool {
        self.kept.len() >= MAX_PROBLEMS
    }

    /// Returns the value if nothing was wrong.
    pub(crate) fn into_result<T>(self, value: T) -> Result<T, ManifestErrors> {
        if self.is_empty() { Ok(value) } else { Err(self.into()) }
    }
}

/// Everything that is wrong with the manifest, in the order of the files and their lines.
#[derive(Debug, Clone)]
pub struct ManifestErrors {
    problems: Vec<Problem>,
    dropped: usize,
}

impl From<Problems> for ManifestErrors {
    fn from(problems: Problems) -> Self {
        let mut kept = problems.kept;
        // A stable sort: files keep the order they were read in, and only places within one file are ordered.
        let mut files: Vec<Option<PathBuf>> = Vec::new();
        let mut rank = |problem: &Problem| {
            let path = problem.path().map(Path::to_owned);
            let known = files.iter().position(|file| *file == path);
            known.unwrap_or_else(|| {
                files.push(path);
                files.len() - 1
            })
        };
        kept.sort_by_cached_key(|problem| (rank(problem), problem.position()));
        Self { problems: kept, dropped: problems.dropped }
    }
}

impl From<Vec<Problem>> for ManifestErrors {
    fn from(problems: Vec<Problem>) -> Self {
        Problems { kept: problems, dropped: 0 }.into()
    }
}

impl From<Problem> for ManifestErrors {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem], dropped: 0 }
    }
}

impl ManifestErrors {
    /// Returns the problems.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Tells whether one of the problems is of this kind.
    pub fn has(&self, kind: ProblemKind) -> bool {
        self.problems.iter().any(|problem| problem.kind == kind)
    }

    /// Returns the problems as people read them, a blank line between two.
    pub fn report(&self) -> String {
        let mut blocks: Vec<String> = self.problems.iter().map(ToString::to_string).collect();
        if self.dropped > 0 {
            blocks.push(format!("and {} more", self.dropped));
        }
        blocks.join("\n\n")
    }

    /// Returns the advice of all problems, each once.
    pub fn hints(&self) -> Vec<&str> {
        let mut hints: Vec<&str> = Vec::new();
        for hint in self.problems.iter().filter_map(Problem::advice) {
            if !hints.contains(&hint) {
                hints.push(hint);
            }
        }
        hints
    }
}

/// Writes one line: how much is wrong. [`ManifestErrors::report`] has the rest.
impl fmt::Display for ManifestErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.len() + self.dropped {
            1 => f.write_str("the manifest has a problem"),
            count => write!(f, "the manifest has {count} problems"),
        }
    }
}

impl std::error::Error for ManifestErrors {}
