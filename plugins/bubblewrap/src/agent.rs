//! The agent's program: found on the host, with what it needs, to be bound read-only.
//!
//! A program below `/usr` is in the bottle anyway. Another is bound below `/opt/claude-bottle`: a binary as a file, a
//! script of a Node package with its package, and the interpreter its first line names. Names of the host's
//! directories do not appear inside.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use claude_bottle_plugin_api::{Failure, FailureKind, Result};
use serde::{Deserialize, Serialize};

use crate::error::{PathExt, show};
use crate::guest::{Home, PROGRAMS};
use crate::tools::{find_in, find_on_path, is_program};

/// Directories of the host that are in every bottle, at the same place.
pub(crate) const SHARED: [&str; 5] = ["/usr", "/bin", "/sbin", "/lib", "/nix/store"];

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

/// Finds a program of the host and what it needs.
pub(crate) fn find(program: &str, home: &Home) -> Result<Program> {
    let found = match program.contains('/') {
        true => Some(PathBuf::from(program)).filter(|path| path.is_absolute() && is_program(path)),
        false => find_on_path(program),
    };
    let Some(found) = found else {
        return in_bottle_already(program, home).ok_or_else(|| not_found(program));
    };
    let file = found.canonicalize().at("find", &found)?;
    let mut needed = Program { file: file.clone(), ..Program::default() };
    if !is_shared(&found) || !is_shared(&file) {
        needed.add(&found, &file)?;
        if program.contains('/') {
            needed.renamed = Some((program.to_owned(), format!("{PROGRAMS}/bin/{}", name_of(&found))));
        }
    }
    needed.add_interpreter(&found, &file)?;
    Ok(needed)
}

impl Program {
    fn add(&mut self, found: &Path, file: &Path) -> Result<()> {
        let name = name_of(found);
        let command = format!("{PROGRAMS}/bin/{name}");
        match package_of(file) {
            None => self.bind(file, command),
            Some(package) => {
                let inside = format!("{PROGRAMS}/lib/{}", name_of(&package));
                let rest = file.strip_prefix(&package).unwrap_or(file);
                self.links.push((format!("{inside}/{}", text(rest)?), command));
                self.bind(&package, inside);
            }
        }
        Ok(())
    }

    fn bind(&mut self, source: &Path, target: String) {
        if !self.binds.iter().any(|bind| bind.target == target) {
            self.binds.push(Bind { source: source.to_owned(), target });
        }
    }

    /// Looks at the first line of a script, and takes its interpreter along.
    fn add_interpreter(&mut self, found: &Path, file: &Path) -> Result<()> {
        let Some(line) = first_line(file)? else { return Ok(()) };
        let mut words = line.split_whitespace();
        let Some(interpreter) = words.next() else { return Ok(()) };
        if !interpreter.ends_with("/env") {
            return if is_shared(Path::new(interpreter)) {
                Ok(())
            } else {
                Err(not_inside(file, interpreter))
            };
        }
        let Some(name) = words.find(|word| !word.starts_with('-')) else { return Ok(()) };
        // A version manager keeps the interpreter beside the program.
        let beside = found.parent().map(|directory| directory.join(name)).filter(|path| is_program(path));
        let interpreter = beside.or_else(|| find_on_path(name)).ok_or_else(|| not_found(name))?;
        let real = interpreter.canonicalize().at("find", &interpreter)?;
        if !is_shared(&interpreter) || !is_shared(&real) {
            self.bind(&real, format!("{PROGRAMS}/bin/{name}"));
        }
        Ok(())
    }
}

/// Returns the Node package a file belongs to, the outermost one; with its siblings when it has a scope, because a
/// scope's packages find their platform's binary there.
fn package_of(file: &Path) -> Option<PathBuf> {
    let mut package = PathBuf::new();
    let mut components = file.components();
    components.by_ref().find(|component| {
        package.push(component);
        component.as_os_str() == "node_modules"
    })?;
    package.push(components.next()?);
    Some(package)
}

/// Returns the first line of a script without its `#!`.
fn first_line(file: &Path) -> Result<Option<String>> {
    let mut head = Vec::new();
    // The kernel looks at 256 bytes.
    File::open(file).and_then(|file| file.take(256).read_to_end(&mut head)).at("read", file)?;
    let Some(line) = head.strip_prefix(b"#!") else { return Ok(None) };
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(Some(String::from_utf8_lossy(line).into_owned()))
}

/// Says whether a path of the host is in every bottle.
fn is_shared(path: &Path) -> bool {
    SHARED.iter().any(|shared| path.starts_with(shared))
}

/// A program that is only there inside, such as one in the agent's own directory of programs, cannot be looked up.
fn in_bottle_already(program: &str, home: &Home) -> Option<Program> {
    let is_inside = program.starts_with(&format!("{}/", home.path))
        || find_in(program, &"/usr/sbin:/sbin".into()).is_some();
    is_inside.then(|| Program { file: PathBuf::from(program), ..Program::default() })
}

fn not_found(program: &str) -> Failure {
    let failure =
        Failure::new(FailureKind::Missing, format!("the program `{program}` is not on this machine"));
    match program {
        "claude" => failure.hint("npm install -g @anthropic-ai/claude-code"),
        "node" => failure.hint("sudo apt-get install nodejs"),
        _ => failure.hint("install it, or name another in agents.<name>.command"),
    }
}

fn not_inside(file: &Path, interpreter: &str) -> Failure {
    let interpreter = interpreter.escape_default();
    let message = format!("`{}` needs the interpreter `{interpreter}`, which is not below /usr", show(file));
    Failure::new(FailureKind::Missing, message).hint("install the agent with the system's own interpreter")
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn text(path: &Path) -> Result<&str> {
    path.to_str()
        .ok_or_else(|| Failure::new(FailureKind::Invalid, format!("the path `{}` is not UTF-8", show(path))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_the_outermost_one() {
        let check = |file: &str, expected: Option<&str>| {
            assert_eq!(package_of(Path::new(file)).as_deref(), expected.map(Path::new), "{file}");
        };
        check("/h/.nvm/lib/node_modules/@x/y/cli.js", Some("/h/.nvm/lib/node_modules/@x"));
        check("/h/node_modules/a/node_modules/b/c.js", Some("/h/node_modules/a"));
        check("/h/.local/share/claude/versions/2.1", None);
    }

    #[test]
    fn a_missing_program_comes_with_its_command() {
        let home = Home { path: "/home/node".to_owned(), skills: String::new() };
        let failure = find("no-such-program-anywhere", &home).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Missing);
        assert_eq!(not_found("claude").hints, ["npm install -g @anthropic-ai/claude-code"]);
    }
}
