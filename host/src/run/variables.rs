//! Environment entries to values, at launch. Values that are not in the manifest are secrets from here on.
//!
//! Nothing here reads the process's environment or the terminal: both are arguments.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;

use claude_bottle_plugin_api::Secret;
use zeroize::Zeroizing;

use crate::manifest::{EnvEntry, EnvName, EnvSource, VariableName};

/// Longest `NAME=value` with its NUL that Linux hands to a program: `MAX_ARG_STRLEN`,
/// <https://man7.org/linux/man-pages/man2/execve.2.html>.
const MAX_LENGTH: usize = 128 * 1024;

/// A question for a secret.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The variable it is for.
    pub name: &'a EnvName,
    /// What the manifest says to ask.
    pub message: Option<&'a str>,
}

/// Whoever can ask the user for a secret: the terminal, without echo, or nobody.
pub trait AskSecret {
    /// Returns what the user typed. An error is a sentence without the answer.
    fn ask(&mut self, question: &Question<'_>) -> Result<Secret, AskError>;
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The run was asked for without questions.
    #[error("--print never asks")]
    Headless,
    /// There is no terminal to ask on.
    #[error("cannot ask: standard input is not a terminal")]
    NoTerminal,
    /// The user gave up.
    #[error("the question was interrupted")]
    Interrupted,
    /// The terminal failed.
    #[error("the terminal cannot be read: {reason}")]
    Terminal {
        /// How.
        reason: String,
    },
}

/// Values, told apart by whether they may be seen.
#[derive(Default)]
pub struct ResolvedEnv {
    /// Values the manifest says in clear, sorted by name.
    pub literals: Vec<(EnvName, Zeroizing<String>)>,
    /// Values that were asked for or taken from the host, sorted by name.
    pub secrets: Vec<(EnvName, Secret)>,
}

/// Shows names, never values.
impl fmt::Debug for ResolvedEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let literals: Vec<&EnvName> = self.literals.iter().map(|(name, _)| name).collect();
        let secrets: Vec<&EnvName> = self.secrets.iter().map(|(name, _)| name).collect();
        f.debug_struct("ResolvedEnv").field("literals", &literals).field("secrets", &secrets).finish()
    }
}

/// Why there are no values. Names variables, never values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvError {
    /// Variables that the host does not have.
    #[error("{}", missing_text(variables))]
    MissingHostVariables {
        /// Each with the bottle's variable that wants it, in the bottle's order.
        variables: Vec<(EnvName, VariableName)>,
    },
    /// A secret was not given.
    #[error("cannot ask for the secret `{name}`")]
    Ask {
        /// The variable.
        name: EnvName,
        /// Why not.
        #[source]
        source: AskError,
    },
    /// The answer was empty.
    #[error("no value was given for the secret `{name}`")]
    EmptyAnswer {
        /// The variable.
        name: EnvName,
    },
    /// A value holds a NUL, which no variable can.
    #[error("the value of `{name}` holds a NUL character")]
    NulCharacter {
        /// The variable.
        name: EnvName,
    },
    /// A value is too long to be handed to a program.
    #[error("the value of `{name}` is longer than a variable can be, {} KiB with its name", MAX_LENGTH / 1024)]
    TooLong {
        /// The variable.
        name: EnvName,
    },
}

impl EnvError {
    /// Returns what to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::MissingHostVariables { variables } => {
                let (_, first) = variables.first()?;
                Some(format!("set it before the start: `export {first}=…`"))
            }
            Self::Ask { source: AskError::Headless, name } => Some(format!(
                "write `${{{name}}}` in the manifest, and set that variable before the start: export {name}=…"
            )),
            Self::Ask { source: AskError::NoTerminal, name } => Some(format!(
                "run on a terminal, or write `${{{name}}}` in the manifest and set that variable before the start"
            )),
            _ => None,
        }
    }
}

fn missing_text(variables: &[(EnvName, VariableName)]) -> String {
    let each: Vec<String> = variables
        .iter()
        .map(|(name, variable)| format!("`{variable}`, which `{name}` is taken from, is not set"))
        .collect();
    each.join("; ")
}

/// Reports variables of the host that are missing, without asking or taking anything. For before the question.
pub fn check_host_variables(entries: &[EnvEntry], is_set: impl Fn(&str) -> bool) -> Result<(), EnvError> {
    let wanted = entries.iter().filter_map(|entry| match &entry.source {
        EnvSource::Host { variable } => Some((entry.name.clone(), variable.clone())),
        EnvSource::Literal(_) | EnvSource::Ask { .. } => None,
    });
    let variables: Vec<_> = wanted.filter(|(_, variable)| !is_set(variable.as_str())).collect();
    if variables.is_empty() { Ok(()) } else { Err(EnvError::MissingHostVariables { variables }) }
}

/// Returns all values. Nobody is asked anything before all that can be missing was found to be there.
pub fn resolve(
    entries: &[EnvEntry],
    lookup: impl Fn(&str) -> Option<OsString>,
    asker: &mut dyn AskSecret,
) -> Result<ResolvedEnv, EnvError> {
    check_host_variables(entries, |name| lookup(name).is_some())?;
    let mut resolved = ResolvedEnv::default();
    for EnvEntry { name, source, .. } in entries {
        match source {
            EnvSource::Literal(value) => {
                check_value(name, value.as_bytes())?;
                resolved.literals.push((name.clone(), value.clone()));
            }
            EnvSource::Host { variable } => {
                let missing =
                    || EnvError::MissingHostVariables { variables: vec![(name.clone(), variable.clone())] };
                let value = lookup(variable.as_str()).ok_or_else(missing)?;
                resolved.secrets.push((name.clone(), secret(name, Secret::new(value.into_vec()))?));
            }
            EnvSource::Ask { message } => {
                let question = Question { name, message: message.as_deref() };
                let failed = |source| EnvError::Ask { name: name.clone(), source };
                let answer = asker.ask(&question).map_err(failed)?;
                if answer.expose().is_empty() {
                    return Err(EnvError::EmptyAnswer { name: name.clone() });
                }
                resolved.secrets.push((name.clone(), secret(name, answer)?));
            }
        }
    }
    Ok(resolved)
}

fn secret(name: &EnvName, value: Secret) -> Result<Secret, EnvError> {
    check_value(name, value.expose())?;
    Ok(value)
}

fn check_value(name: &EnvName, value: &[u8]) -> Result<(), EnvError> {
    if value.contains(&0) {
        return Err(EnvError::NulCharacter { name: name.clone() });
    }
    // The equals sign and the closing NUL count too.
    if name.as_str().len() + value.len() + 2 > MAX_LENGTH {
        return Err(EnvError::TooLong { name: name.clone() });
    }
    Ok(())
}

#[cfg(test)]
#[path = "variables_tests.rs"]
mod tests;
