//! How a guard that runs is given another policy, or another value for a secret that it holds: one line of JSON to it, and one line
//! of JSON back.
//!
//! The line is whole or it is nothing: one that was cut off is not JSON.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::policy::Policy;
use crate::secrets::GuardSecret;

/// The longest line that a guard takes.
pub const MOST_RELOAD_BYTES: usize = 16 << 20;
/// The longest name that a request may have.
const MOST_NAME: usize = 64;

/// A policy that is to count from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reload {
    /// What the sender calls this request, so that it knows the answer.
    #[serde(rename = "reload")]
    pub name: String,
    /// The policy, whole.
    pub policy: Policy,
}

/// A value that a held secret has from now on. It has no `Debug`; it is serialised only to be handed to the guard.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretReload {
    /// What the sender calls this request, so that it knows the answer.
    #[serde(rename = "reload")]
    pub name: String,
    /// The secret, by its name, and the value.
    pub secret: GuardSecret,
}

/// What a line asks for.
pub enum ReloadLine {
    /// Another policy.
    Policy(Reload),
    /// Another value.
    Secret(SecretReload),
}

/// What the guard says to it. Unknown keys are ignored when reading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ReloadAnswer {
    /// Every request from now on is decided by the new policy, or gets the new value.
    Reloaded {
        /// The request's name.
        reload: String,
    },
    /// Everything stays as it was.
    ReloadFailed {
        /// The request's name; empty when that could not be read.
        reload: String,
        /// What is wrong.
        error: String,
    },
}

impl ReloadLine {
    /// Reads a line.
    ///
    /// # Errors
    /// Returns the answer that says what is wrong. Of a line with a secret it repeats nothing.
    pub fn read(line: &[u8]) -> Result<Self, ReloadAnswer> {
        let failed =
            |reload: &str, error: String| ReloadAnswer::ReloadFailed { reload: reload.to_owned(), error };
        let value: Value = serde_json::from_slice(line).map_err(|error| failed("", error.to_string()))?;
        let name = value["reload"].as_str().filter(|name| is_name(name)).unwrap_or_default().to_owned();
        if name.is_empty() {
            return Err(failed("", "the request has no valid name".to_owned()));
        }
        if value.get("secret").is_some() {
            let read = SecretReload::deserialize(value).map(Self::Secret);
            return read.map_err(|_| failed(&name, "`secret` is not a name and a value".to_owned()));
        }
        // A list would be read as the fields of a policy in their order.
        if !value["policy"].is_object() {
            return Err(failed(&name, "`policy` is missing or not a mapping".to_owned()));
        }
        Reload::deserialize(value).map(Self::Policy).map_err(|error| failed(&name, error.to_string()))
    }
}

impl Reload {
    /// Reads a line that asks for a policy.
    ///
    /// # Errors
    /// Returns the answer that says what is wrong.
    pub fn read(line: &[u8]) -> Result<Self, ReloadAnswer> {
        match ReloadLine::read(line)? {
            ReloadLine::Policy(reload) => Ok(reload),
            ReloadLine::Secret(SecretReload { name, .. }) => {
                let error = "the line has no policy".to_owned();
                Err(ReloadAnswer::ReloadFailed { reload: name, error })
            }
        }
    }

    /// Returns the line, with its end.
    ///
    /// # Errors
    /// Fails when it cannot be written.
    pub fn to_line(&self) -> serde_json::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }
}

fn is_name(name: &str) -> bool {
    name.len() <= MOST_NAME && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::Rule;

    #[test]
    fn a_line_reads_back_and_one_that_was_cut_off_anywhere_does_not() {
        let rules = vec![Rule::parse("a.example", "here\nand there").unwrap()];
        let reload = Reload { name: "7-1".to_owned(), policy: Policy { rules, ..Policy::default() } };
        let line = reload.to_line().unwrap();
        assert_eq!(Reload::read(&line), Ok(reload));
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        for end in 0..line.len() - 1 {
            assert!(Reload::read(&line[..end]).is_err(), "{}", line[..end].escape_ascii());
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_the_name_as_far_as_it_is_known() {
        let check = |line: &str, expected: &str, part: &str| {
            let Err(ReloadAnswer::ReloadFailed { reload, error }) = Reload::read(line.as_bytes()) else {
                panic!("{line} is read");
            };
            assert!(reload == expected && error.contains(part), "{line}: `{reload}`, {error}");
        };
        check("", "", "EOF");
        check("{}", "", "no valid name");
        check(r#"{"reload":"a\nb","policy":{}}"#, "", "no valid name");
        check(r#"{"reload":"1"}"#, "1", "`policy`");
        check(r#"{"reload":"1","policy":null}"#, "1", "not a mapping");
        check(r#"{"reload":"1","policy":[]}"#, "1", "not a mapping");
        check(r#"{"reload":"1","policy":{"rules":[{"rule":"*"}]}}"#, "1", "`*`");
        check(r#"{"reload":"1","policy":{"rule":[]}}"#, "1", "unknown field");
        check(r#"{"reload":"1","policy":{},"listen":"0.0.0.0:1"}"#, "1", "unknown field");
    }

    #[test]
    fn a_value_is_read_and_never_repeated() {
        let line = br#"{"reload":"1","secret":{"name":"TOKEN","value":"hunter2-hunter2"}}"#;
        let Ok(ReloadLine::Secret(read)) = ReloadLine::read(line) else { panic!("the line is not read") };
        assert_eq!((read.secret.name.as_str(), read.secret.value.as_str()), ("TOKEN", "hunter2-hunter2"));
        for wrong in [
            r#"{"reload":"1","secret":"hunter2-hunter2"}"#,
            r#"{"reload":"1","secret":{"name":"TOKEN","value":["hunter2-hunter2"]}}"#,
            r#"{"reload":"1","secret":{"name":"TOKEN","value":"x","hunter2-hunter2":1}}"#,
            r#"{"reload":"1","policy":{},"secret":{"name":"TOKEN","value":"hunter2-hunter2"}}"#,
        ] {
            let Err(ReloadAnswer::ReloadFailed { reload, error }) = ReloadLine::read(wrong.as_bytes()) else {
                panic!("{wrong} is read");
            };
            assert!(reload == "1" && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn answers_keep_their_form() {
        let failed = ReloadAnswer::ReloadFailed { reload: "1".to_owned(), error: "no".to_owned() };
        let text = r#"{"event":"reload_failed","reload":"1","error":"no"}"#;
        assert_eq!(serde_json::to_string(&failed).unwrap(), text);
        let read: ReloadAnswer =
            serde_json::from_str(r#"{"time":"t","event":"reloaded","reload":"1","more":1}"#).unwrap();
        assert_eq!(read, ReloadAnswer::Reloaded { reload: "1".to_owned() });
    }
}
