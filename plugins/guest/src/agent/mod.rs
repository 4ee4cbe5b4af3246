//! The command `bottle`, for the agent: what may be reached, to ask for a host, and to give one back.
//!
//! It goes to the guard as all else does, and allows nothing by itself: a person answers, or does not. The exit code says what
//! came of it.

mod answers;
mod guard;

use std::ffi::OsString;
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;

use crate::GuestError;
use crate::error::StepExt;
use answers::{GivenBack, Reach, Said};

/// The directory, next to this program, that is behind the others in the agent's `PATH`. It has the command alone.
pub(crate) const DIRECTORY: &str = "bin";

/// The command's name.
pub const NAME: &str = "bottle";

/// The most characters of a reason, as the guard takes them.
const MOST_WHY: usize = 200;

/// What the user's shell says of a wrong command line.
const USAGE_CODE: u8 = 2;

const HELP: &str = "\
What this bottle may reach, and how to ask for more. The user's policy decides; nothing here goes round it.

Usage:
  bottle policy                      list what may be reached
  bottle ask HOST[:PORT] --why TEXT  ask the user to allow a host, and wait for the answer
  bottle give-back HOST[:PORT]       give back what was allowed while this bottle runs

`bottle ask` ends with 0 when the host may be reached, 1 when it is refused, 3 when no answer came, and 4 when
this bottle does not ask. The port is 443 unless given. TEXT is one sentence of at most 200 characters.
`--json`, as the last word, prints the answer for programs.
";

/// What is wanted of the guard.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    Help,
    Policy,
    Ask { place: String, why: String },
    GiveBack { place: String },
}

/// Runs the command, and returns its exit code.
///
/// # Errors
/// Fails when the guard cannot be asked.
pub fn run(arguments: &[OsString]) -> Result<u8, GuestError> {
    let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let mut words: Vec<_> = words.iter().map(String::as_str).collect();
    let is_json = words.last() == Some(&"--json") && words.pop().is_some();
    match parse(&words) {
        Ok(wanted) => answer(&wanted, is_json),
        Err(problem) => {
            tell(&format!("bottle: {problem}\n\n{HELP}"))?;
            Ok(USAGE_CODE)
        }
    }
}

fn parse(words: &[&str]) -> Result<Wanted, String> {
    match words {
        [] => Err("say what to do".to_owned()),
        ["help" | "--help" | "-h"] | [_, "--help" | "-h"] => Ok(Wanted::Help),
        ["policy"] => Ok(Wanted::Policy),
        ["ask", place, "--why", why] | ["ask", "--why", why, place] => {
            let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
            match why.chars().count() {
                0 => Err("`--why` says what the host is needed for, in a sentence".to_owned()),
                1..=MOST_WHY => Ok(Wanted::Ask { place: host(place)?, why }),
                long => Err(format!("the text has {long} characters; {MOST_WHY} are the most")),
            }
        }
        ["ask", ..] => Err("write `bottle ask HOST --why TEXT`".to_owned()),
        ["give-back", place] => Ok(Wanted::GiveBack { place: host(place)? }),
        ["give-back", ..] => Err("write `bottle give-back HOST`".to_owned()),
        [other, ..] => Err(format!("`{}` is not a command of `bottle`", other.escape_debug())),
    }
}

/// Returns what stands for a host. That it is one, the guard says.
fn host(text: &str) -> Result<String, String> {
    let is_word = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
    if is_word && !text.starts_with('-') {
        return Ok(text.to_owned());
    }
    Err(format!("`{}` is not a HOST[:PORT]", text.escape_debug()))
}

fn answer(wanted: &Wanted, is_json: bool) -> Result<u8, GuestError> {
    match wanted {
        Wanted::Help => say(HELP).map(|()| 0),
        Wanted::Policy => {
            let answer = guard::ask("POLICY * HTTP/1.1\r\n\r\n")?;
            let reach: Reach = read(&answer)?;
            say(&if is_json { answer } else { reach.text(now()) }).map(|()| 0)
        }
        Wanted::Ask { place, why } => {
            let reach: Reach = read(&guard::ask("POLICY * HTTP/1.1\r\n\r\n")?)?;
            if reach.ask_seconds > 0 {
                tell(&format!("asking for {place}; this takes {} s at most\n", reach.ask_seconds))?;
            }
            let answer = guard::ask(&format!("ASK {place} HTTP/1.1\r\nX-Bottle-Why: {why}\r\n\r\n"))?;
            let said: Said = read(&answer)?;
            say(&if is_json { answer } else { said.text() })?;
            Ok(said.exit_code())
        }
        Wanted::GiveBack { place } => {
            let answer = guard::ask(&format!("GIVEBACK {place} HTTP/1.1\r\n\r\n"))?;
            let given: GivenBack = read(&answer)?;
            say(&if is_json { answer } else { given.text() })?;
            Ok(given.exit_code())
        }
    }
}

fn read<T: DeserializeOwned>(answer: &str) -> Result<T, GuestError> {
    serde_json::from_str(answer).map_err(io::Error::from).step(|| "read the guard's answer")
}

fn say(text: &str) -> Result<(), GuestError> {
    io::stdout().write_all(text.as_bytes()).step(|| "write to standard output")
}

fn tell(text: &str) -> Result<(), GuestError> {
    io::stderr().write_all(text.as_bytes()).step(|| "write to standard error")
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_one_of_three_or_is_told_what_is_wrong() {
        let ask = |why: &str| Wanted::Ask { place: "a.test".to_owned(), why: why.to_owned() };
        assert_eq!(parse(&["policy"]), Ok(Wanted::Policy));
        assert_eq!(parse(&["ask", "a.test", "--why", "to\n fetch \t it"]), Ok(ask("to fetch it")));
        assert_eq!(parse(&["ask", "--why", "x", "a.test"]), Ok(ask("x")));
        assert_eq!(parse(&["give-back", "*.a.test"]), Ok(Wanted::GiveBack { place: "*.a.test".to_owned() }));
        assert_eq!(parse(&["ask", "--help"]), Ok(Wanted::Help));
        let long = "x".repeat(201);
        for (wrong, problem) in [
            (&[][..], "say what"),
            (&["ask", "a.test"], "write `bottle ask"),
            (&["ask", "a.test", "--why", " "], "`--why` says"),
            (&["ask", "a.test", "--why", &long], "has 201 characters"),
            (&["ask", "https://a.test/", "--why", "x"], "not a HOST[:PORT]"),
            (&["ask", "a b", "--why", "x"], "not a HOST[:PORT]"),
            (&["ask", "a\r\nb", "--why", "x"], "not a HOST[:PORT]"),
            (&["give-back"], "write `bottle give-back"),
            (&["allow", "a.test"], "not a command"),
        ] {
            let said = parse(wrong).unwrap_err();
            assert!(said.contains(problem), "{wrong:?}: {said}");
        }
    }
}
