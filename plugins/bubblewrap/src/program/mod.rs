//! The agent's program: found on the host, with what it needs, to be shown read-only.
//!
//! A program below `/usr` is in the bottle anyway. A single binary, and a package that `npm install -g` made, are
//! shown below `/opt/claude-bottle`, so that names of the host's directories do not appear inside. Every other
//! installer writes its own paths into what it installs; that is shown at the same path. `layout` knows what belongs
//! together, `manager` asks version managers what their shims stand for, `script` and `python` read what a program
//! leads to, and `needs` puts it together.

mod elf;
mod layout;
mod manager;
mod needs;
mod node;
mod python;
mod script;

use std::path::{Path, PathBuf};

use claude_bottle_directory::Home;
use claude_bottle_directory::inside::PROGRAMS;
use claude_bottle_kit::bwrap::{SHARED, find_in, find_on_path};
use claude_bottle_kit::companions::is_program;
use claude_bottle_plugin_api::{Failure, FailureKind, Result};
use serde::{Deserialize, Serialize};

use crate::grants::Grants;

/// Something of the host that is bound read-only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bind {
    pub(crate) source: PathBuf,
    pub(crate) target: String,
}

/// What must be bound for the agent to run, and the links that lead to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Program {
    /// Its file on the host, for show.
    pub(crate) file: PathBuf,
    pub(crate) binds: Vec<Bind>,
    /// Links as target and name.
    pub(crate) links: Vec<(String, String)>,
    /// What the command calls it and what it is called inside, when the two differ.
    pub(crate) renamed: Option<(String, String)>,
}

/// Finds a program of the host, and grants what it needs. `install` is what to do where it is missing.
pub(crate) fn find(program: &str, install: &[String], home: &Home, grants: &mut Grants) -> Result<Program> {
    let found = match program.contains('/') {
        true => Some(PathBuf::from(program)).filter(|path| path.is_absolute() && is_program(path)),
        false => find_on_path(program),
    };
    match found {
        Some(found) => needs::of(program, &found, grants),
        None => in_bottle_already(program, home, grants).ok_or_else(|| missing(program, install)),
    }
}

/// Returns `true` if a path of the host is in every bottle.
pub(crate) fn is_shared(path: &Path) -> bool {
    SHARED.iter().any(|shared| path.starts_with(shared))
}

/// A program that is only there inside, such as one in the agent's own directory of programs, cannot be looked up.
fn in_bottle_already(program: &str, home: &Home, grants: &Grants) -> Option<Program> {
    let is_granted = || grants.places.iter().any(|place| is_program(&place.join("bin").join(program)));
    let is_inside = program.starts_with(&format!("{}/", home.path))
        || find_in(program, &"/usr/sbin:/sbin".into()).is_some()
        || is_granted();
    is_inside.then(|| Program { file: PathBuf::from(program), ..Program::default() })
}

/// Makes the failure of an agent's program that is not there.
fn missing(program: &str, install: &[String]) -> Failure {
    match install {
        [] => not_found(program),
        known => known.iter().fold(absent(program), Failure::hint),
    }
}

fn not_found(program: &str) -> Failure {
    match program {
        "node" => absent(program).hint("sudo apt-get install nodejs"),
        _ => absent(program).hint("install it, or name another in agents.<name>.command"),
    }
}

fn absent(program: &str) -> Failure {
    Failure::new(FailureKind::Missing, format!("the program `{program}` is not on this machine"))
}

/// Returns what a program is called in the bottle's own directory of programs.
fn command_of(found: &Path) -> String {
    format!("{PROGRAMS}/bin/{}", name_of(found))
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_comes_with_its_command() {
        let home = Home { path: "/home/node".to_owned(), skills: String::new() };
        let failure = find("no-such-program-anywhere", &[], &home, &mut Grants::default()).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Missing);
        let install = ["npm install -g one".to_owned()];
        assert_eq!(missing("one", &install).hints, install);
        assert_eq!(missing("two", &[]).hints, ["install it, or name another in agents.<name>.command"]);
    }
}
