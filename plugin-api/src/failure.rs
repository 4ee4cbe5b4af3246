//! The error that crosses the boundary: what the host does next, a message, its causes, and advice.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The result of every verb.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// What kind of failure it is, which says what the host does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FailureKind {
    /// The spec or a setting asks for something this backend cannot do or understand.
    Invalid,
    /// A program, image or file the backend needs is missing.
    Missing,
    /// The engine, or the port of a bottle that is asked for, cannot be reached or gave up in the middle.
    Unreachable,
    /// The engine or the system refused for lack of permission.
    Denied,
    /// A name is taken.
    Conflict,
    /// What was asked for does not exist.
    NotFound,
    /// The backend does not offer this verb or operation.
    Unsupported,
    /// The call was cancelled, and what it had made is undone.
    Cancelled,
    /// Something did not answer in time.
    Timeout,
    /// The plug-in panicked; the fence around every verb turned it into this.
    Panic,
    /// A fault that is not the user's.
    Internal,
    /// A kind this side does not know; treated as [`FailureKind::Internal`].
    #[serde(other)]
    Unknown,
}

/// A failure of a verb.
///
/// `message` says what could not be done, in lower case and without a full stop; it never repeats its causes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Failure {
    /// What the host does next.
    pub kind: FailureKind,
    /// What could not be done: "cannot create network `claude-bottle-net-dev`".
    pub message: String,
    /// Why, outermost first.
    #[serde(default)]
    pub causes: Vec<String>,
    /// Advice, each a sentence or a command to paste.
    #[serde(default)]
    pub hints: Vec<String>,
    /// What else went wrong while undoing what had been made.
    #[serde(default)]
    pub undo: Vec<Self>,
    /// What of the run it is about; the host adds where the manifest says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Box<Subject>>,
}

/// What of a run a failure is about, by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Subject {
    /// An option of the backend.
    Option(String),
    /// A variable of the bottle.
    Variable(String),
    /// A secret variable of the bottle.
    Secret(String),
    /// A file or directory that is granted.
    File(String),
    /// A host, as the manifest names it.
    Host(String),
    /// A feature of [`crate::Spec::requires`].
    Feature(String),
    /// A kind this side does not know.
    #[serde(untagged)]
    Unknown(serde_json::Value),
}

impl Failure {
    /// Makes a failure without causes.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            causes: Vec::new(),
            hints: Vec::new(),
            undo: Vec::new(),
            subject: None,
        }
    }

    /// Makes the failure of a verb or operation the backend does not offer.
    pub fn unsupported(operation: &str) -> Self {
        Self::new(FailureKind::Unsupported, format!("this backend does not offer `{operation}`"))
    }

    /// Makes the failure of a service that the host does not offer.
    pub fn no_service(name: &str) -> Self {
        Self::new(FailureKind::Unsupported, format!("this host does not offer the service `{name}`"))
    }

    /// Makes the failure of a call that ended because it was cancelled.
    pub fn cancelled() -> Self {
        Self::new(FailureKind::Cancelled, "cancelled")
    }

    /// Adds an error and the chain of its sources as causes.
    #[must_use]
    pub fn caused_by(mut self, error: &(dyn std::error::Error + 'static)) -> Self {
        let chain = std::iter::successors(Some(error), |error| error.source());
        for cause in chain.map(ToString::to_string) {
            // Many libraries repeat the source in their own message.
            if self.causes.last().is_none_or(|last| !last.ends_with(&cause)) {
                self.causes.push(cause);
            }
        }
        self
    }

    /// Adds advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Says what of the run it is about.
    #[must_use]
    pub fn about(mut self, subject: Subject) -> Self {
        self.subject = Some(Box::new(subject));
        self
    }

    /// Puts this failure under a message that says what was being done.
    #[must_use]
    pub fn context(mut self, message: impl Into<String>) -> Self {
        self.causes.insert(0, std::mem::replace(&mut self.message, message.into()));
        self
    }

    /// Adds what went wrong while undoing.
    #[must_use]
    pub fn with_undo(mut self, failures: Vec<Self>) -> Self {
        self.undo.extend(failures);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.causes.iter().try_for_each(|cause| write!(f, ": {cause}"))
    }
}

impl std::error::Error for Failure {}

/// An `anyhow` error keeps its chain; one that wraps a [`Failure`] keeps its kind, hints and undo list as well.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let mut chain = error.chain().map(ToString::to_string);
        let message = chain.next().unwrap_or_default();
        match error.downcast_ref::<Self>() {
            Some(inner) if inner.to_string() == message => inner.clone(),
            Some(inner) => inner.clone().context(message),
            None => Self { causes: chain.collect(), ..Self::new(FailureKind::Internal, message) },
        }
    }
}

/// Turns any error into a [`Failure`] with a message of its own.
pub trait ErrorExt<T> {
    /// Makes the error the cause of a failure of this kind.
    fn failure<M: Into<String>>(self, kind: FailureKind, message: impl FnOnce() -> M) -> Result<T>;
}

impl<T, E: std::error::Error + 'static> ErrorExt<T> for std::result::Result<T, E> {
    fn failure<M: Into<String>>(self, kind: FailureKind, message: impl FnOnce() -> M) -> Result<T> {
        self.map_err(|error| Failure::new(kind, message()).caused_by(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_kind_is_kept_apart() {
        let failure: Failure = serde_json::from_str(r#"{"kind":"from-1.7","message":"m","new":1}"#).unwrap();
        assert_eq!(failure.kind, FailureKind::Unknown);
    }

    #[test]
    fn a_subject_is_its_kind_and_its_name_and_an_unknown_one_is_kept() {
        let failure = Failure::new(FailureKind::Invalid, "m").about(Subject::Option("pull".to_owned()));
        let text = serde_json::to_value(&failure).unwrap();
        assert_eq!(text["subject"], serde_json::json!({ "option": "pull" }));
        let later = r#"{"kind":"invalid","message":"m","subject":{"from-1.7":["x"]}}"#;
        let later: Failure = serde_json::from_str(later).unwrap();
        assert!(matches!(later.subject.as_deref(), Some(Subject::Unknown(_))), "{later:?}");
        let plain = serde_json::to_value(Failure::new(FailureKind::Invalid, "m")).unwrap();
        assert!(plain.get("subject").is_none());
    }

    #[test]
    fn causes_are_the_chain_without_repetition() {
        let io = std::io::Error::new(std::io::ErrorKind::NotFound, "no such file");
        let failure = Err::<(), _>(io).failure(FailureKind::Missing, || "cannot read `x`").unwrap_err();
        assert_eq!(failure.to_string(), "cannot read `x`: no such file");
        let outer = failure.context("cannot open the box");
        assert_eq!(outer.causes, ["cannot read `x`", "no such file"]);
    }

    #[test]
    fn anyhow_keeps_the_kind_of_a_failure_inside() {
        let error = anyhow::Error::new(Failure::new(FailureKind::Conflict, "taken")).context("pick a name");
        let failure = Failure::from(error);
        assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Conflict, "pick a name"));
        assert_eq!(failure.causes, ["taken"]);
    }
}
