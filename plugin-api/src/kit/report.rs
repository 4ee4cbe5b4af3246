//! What the cases found, as data and as text.

use std::fmt;

use serde::Serialize;

use crate::{ContractVersion, Description, Failure};

use super::bench::{Check, Stop};

/// What a case found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Outcome {
    /// The rule holds.
    Pass,
    /// The rule is broken.
    Fail {
        /// What was seen instead.
        detail: String,
    },
    /// The rule was not looked at.
    Skip {
        /// Why not.
        reason: String,
    },
}

impl From<Check> for Outcome {
    fn from(check: Check) -> Self {
        match check {
            Ok(()) => Self::Pass,
            Err(Stop::Fail(detail)) => Self::Fail { detail },
            Err(Stop::Skip(reason)) => Self::Skip { reason },
        }
    }
}

/// A case and what it found.
#[derive(Debug, Clone, Serialize)]
pub struct CaseResult {
    /// The rule's stable name, as in docs/plugin-authors.md.
    pub id: &'static str,
    /// The rule, as a sentence.
    pub title: &'static str,
    /// What was found.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How long it took.
    pub millis: u64,
}

/// What all cases found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The backend's name.
    pub name: String,
    /// The plug-in's version.
    pub version: String,
    /// The contract it was built with.
    pub contract: ContractVersion,
    /// One entry a case, in the order in which they ran.
    pub cases: Vec<CaseResult>,
}

impl Report {
    pub(super) fn new(description: &Description, cases: Vec<CaseResult>) -> Self {
        let Description { name, version, contract, .. } = description.clone();
        Self { name, version, contract, cases }
    }

    /// Reports on a backend that cannot even say who it is.
    pub(super) fn unreadable(failure: &Failure) -> Self {
        let outcome = Outcome::Fail { detail: failure.to_string() };
        let case = CaseResult { id: "describe", title: "it describes itself", outcome, millis: 0 };
        let contract = ContractVersion { major: 0, minor: 0 };
        Self { name: String::new(), version: String::new(), contract, cases: vec![case] }
    }

    /// Returns whether no rule is broken. Skipped cases do not count.
    pub fn passed(&self) -> bool {
        self.failed().next().is_none()
    }

    /// Returns the cases whose rule is broken.
    pub fn failed(&self) -> impl Iterator<Item = &CaseResult> {
        self.cases.iter().filter(|case| matches!(case.outcome, Outcome::Fail { .. }))
    }

    /// Returns how many cases passed, failed and were skipped.
    pub fn counts(&self) -> (usize, usize, usize) {
        let count = |wanted: fn(&Outcome) -> bool| self.cases.iter().filter(|c| wanted(&c.outcome)).count();
        (
            count(|outcome| matches!(outcome, Outcome::Pass)),
            count(|outcome| matches!(outcome, Outcome::Fail { .. })),
            count(|outcome| matches!(outcome, Outcome::Skip { .. })),
        )
    }
}

/// A table: one line a case, and under a case that failed or was skipped what was seen.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "backend `{}` {}, contract {}", self.name, self.version, self.contract)?;
        let width = self.cases.iter().map(|case| case.id.len()).max().unwrap_or_default();
        for case in &self.cases {
            let (word, detail) = match &case.outcome {
                Outcome::Pass => ("pass", None),
                Outcome::Fail { detail } => ("FAIL", Some(detail)),
                Outcome::Skip { reason } => ("skip", Some(reason)),
            };
            writeln!(f, "  {word}  {:width$}  {}", case.id, case.title)?;
            if let Some(detail) = detail {
                writeln!(f, "        {:width$}  {}", "", detail.replace('\n', "; "))?;
            }
        }
        let (passed, failed, skipped) = self.counts();
        write!(f, "{passed} passed, {failed} failed, {skipped} skipped")
    }
}
