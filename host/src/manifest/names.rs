//! Names that have been checked: a value of one of these types is a good name.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Longest name of an agent or a bottle; it becomes part of container and network names.
const MAX_SLUG: usize = 41;
/// Longest name of a skill: <https://code.claude.com/docs/en/skills#frontmatter-reference>.
const MAX_SKILL: usize = 64;
/// Longest name of an environment variable; nothing sets this limit, but longer ones are mistakes.
const MAX_VARIABLE: usize = 255;

const SLUG_PATTERN: &str = "^[a-z0-9][a-z0-9-]{0,40}$";
const SKILL_PATTERN: &str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$";
const VARIABLE_PATTERN: &str = "^[A-Za-z_][A-Za-z0-9_]{0,254}$";

/// Variables that every bottle sets itself, since they are its only way out.
pub const RESERVED_VARIABLES: &[&str] =
    &["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NODE_USE_ENV_PROXY", "NO_PROXY"];

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// There is no text.
    #[error("a name cannot be empty")]
    Empty,
    /// The text is too long.
    #[error("a name has at most {max} characters")]
    TooLong {
        /// The limit.
        max: usize,
    },
    /// A character that cannot stand there.
    #[error("{rule}")]
    BadCharacter {
        /// What is accepted.
        rule: &'static str,
    },
    /// A variable that the bottle sets itself.
    #[error("`{name}` is set by the bottle itself, since the proxy is the only way out")]
    Reserved {
        /// The variable.
        name: String,
    },
}

/// Checks the name of an agent or a bottle: `[a-z0-9][a-z0-9-]{0,40}`.
pub fn check_slug(text: &str) -> Result<(), NameError> {
    let rule = "a name has lower-case letters, digits and hyphens, and does not begin with a hyphen";
    check(text, MAX_SLUG, rule, |at, c| c.is_ascii_lowercase() || c.is_ascii_digit() || (at > 0 && c == '-'))
}

/// Returns the nearest slug to a text, if there is one.
pub fn slugified(text: &str) -> Option<String> {
    let mut slug = String::new();
    for character in text.trim().chars() {
        match character.to_ascii_lowercase() {
            c if c.is_ascii_lowercase() || c.is_ascii_digit() => slug.push(c),
            _ if slug.is_empty() || slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
    }
    slug.truncate(MAX_SLUG);
    let slug = slug.trim_end_matches('-').to_owned();
    (!slug.is_empty()).then_some(slug)
}

fn check_skill(text: &str) -> Result<(), NameError> {
    let rule = "the name of a skill is that of its directory: letters, digits, `.`, `_` and `-`";
    check(text, MAX_SKILL, rule, |at, c| {
        c.is_ascii_alphanumeric() || (at > 0 && matches!(c, '.' | '_' | '-'))
    })
}

fn check_variable(text: &str) -> Result<(), NameError> {
    let rule = "the name of a variable has letters, digits and `_`, and does not begin with a digit";
    check(text, MAX_VARIABLE, rule, |at, c| {
        c.is_ascii_alphabetic() || c == '_' || (at > 0 && c.is_ascii_digit())
    })
}

fn check(
    text: &str,
    max: usize,
    rule: &'static str,
    accepts: impl Fn(usize, char) -> bool,
) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if !text.chars().enumerate().all(|(at, c)| accepts(at, c)) {
        return Err(NameError::BadCharacter { rule });
    }
    if text.len() > max {
        return Err(NameError::TooLong { max });
    }
    Ok(())
}

/// Declares a checked name: the type, its check, and the pattern the JSON schema says.
macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $check:ident, $pattern:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Returns the name, or why there is none.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                $check(&text)?;
                Ok(Self(text))
            }

            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

name_type! {
    /// The name of an agent, a slug.
    AgentName, check_slug, SLUG_PATTERN
}
name_type! {
    /// The name of a bottle, a slug.
    BottleName, check_slug, SLUG_PATTERN
}
name_type! {
    /// The name of a skill, which is that of its directory.
    SkillName, check_skill, SKILL_PATTERN
}
name_type! {
    /// The name of an environment variable, here or on the host.
    VariableName, check_variable, VARIABLE_PATTERN
}
name_type! {
    /// The name of an environment variable that the manifest may set in a bottle.
    EnvName, check_env, VARIABLE_PATTERN
}

fn check_env(text: &str) -> Result<(), NameError> {
    check_variable(text)?;
    // Programs read both spellings of the proxy variables.
    if RESERVED_VARIABLES.iter().any(|reserved| reserved.eq_ignore_ascii_case(text)) {
        return Err(NameError::Reserved { name: text.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_all(good: &[&str], bad: &[&str], accepts: impl Fn(&str) -> bool) {
        for text in good {
            assert!(accepts(text), "{text:?} was refused");
        }
        for text in bad {
            assert!(!accepts(text), "{text:?} was accepted");
        }
    }

    #[test]
    fn slugs() {
        let (longest, too_long) = ("a".repeat(41), "a".repeat(42));
        check_all(
            &["a", "0", "dev-2", "a-", &longest],
            &["", "-a", "Dev", "a_b", "a b", "é", "a\n", "a/b", "..", &too_long],
            |text| AgentName::new(text).is_ok() && BottleName::new(text).is_ok(),
        );
    }

    #[test]
    fn skills() {
        check_all(&["pdf", "My.Skill_2"], &["", ".", "..", ".hidden", "a/b", "-x", "a\0"], |text| {
            SkillName::new(text).is_ok()
        });
    }

    #[test]
    fn variables() {
        check_all(
            &["A", "_x", "GITHUB_TOKEN", "a1"],
            &["", "1A", "A-B", "A=B", "A\0", "HTTPS_PROXY", "no_proxy", "É"],
            |text| EnvName::new(text).is_ok(),
        );
        assert!(VariableName::new("HTTPS_PROXY").is_ok());
    }

    #[test]
    fn near_slugs() {
        let check = |text, expected: Option<&str>| assert_eq!(slugified(text).as_deref(), expected, "{text}");
        check("Code Reviewer", Some("code-reviewer"));
        check("a__b--", Some("a-b"));
        check("é", None);
        check("--", None);
    }
}
