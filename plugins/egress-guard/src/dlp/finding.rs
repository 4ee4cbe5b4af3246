//! What an inspection found: a name and a place, and never a byte of it.

use std::fmt;

use claude_bottle_egress_policy::{Code, DlpAction};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The bottle's secret of this name.
    Secret(String),
    /// Something that fits this rule.
    Rule(&'static str),
    /// The bottle's secret of this name, which was masked.
    Masked(String),
}

/// What was found, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which secret or rule.
    pub what: What,
    /// Where: `method`, `host name`, `URL`, `headers`, `body`.
    pub place: &'static str,
}

impl Findings {
    /// Returns `true` if something was found, whether it blocks or not.
    pub fn any(&self) -> bool {
        self.block.is_some() || self.warn.is_some()
    }
}

impl Finding {
    /// Returns the stable code.
    pub fn code(&self) -> Code {
        match self.what {
            What::Secret(_) | What::Masked(_) => Code::DlpSecret,
            What::Rule(_) => Code::DlpRule,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Secret(name) => write!(f, "the secret `{name}` is in the {} of the request", self.place),
            What::Masked(name) => {
                write!(f, "the secret `{name}` in the {} of the request was masked", self.place)
            }
            What::Rule(id) => {
                write!(f, "the rule `{id}` fits something in the {} of the request", self.place)
            }
        }
    }
}

/// What was found in one look: the first finding that blocks, and the first that only warns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Ends the request.
    pub block: Option<Finding>,
    /// Goes to the log.
    pub warn: Option<Finding>,
}

/// Notes what was found, as what is to happen with it says.
pub(super) fn note(what: What, (place, action): (&'static str, DlpAction), findings: &mut Findings) {
    let slot = match action {
        DlpAction::Block => &mut findings.block,
        DlpAction::Warn => &mut findings.warn,
    };
    slot.get_or_insert(Finding { what, place });
}
