//! From a program to everything it needs: links, interpreters, packages, libraries, until nothing new is found.

use std::collections::HashSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use claude_bottle_kit::why_private;
use claude_bottle_plugin_api::{Failure, FailureKind, Result};

use super::layout::{Kind, Root, root_of};
use super::script::{self, Interpreter};
use super::{Bind, Program, command_of, elf, is_shared, manager, name_of, node, not_found, python};
use crate::grants::Grants;
use claude_bottle_directory::inside::PROGRAMS;
use claude_bottle_kit::bwrap::find_on_path;
use claude_bottle_kit::companions::is_program;
use claude_bottle_kit::paths::{PathExt, show};

/// A file with more is not a script that starts a program.
const MOST: usize = 200;

struct Needs<'a> {
    program: Program,
    grants: &'a mut Grants,
    seen: HashSet<PathBuf>,
    /// What the manifest calls it, for messages.
    name: &'a str,
}

/// Works out what a program needs, and grants it.
pub(super) fn of(name: &str, found: &Path, grants: &mut Grants) -> Result<Program> {
    let given = grants.clone();
    let real = match manager::real(found) {
        Ok(real) => real.filter(|real| !(given.cover(real) && given.cover(found))),
        // The manifest grants the shim, so it is the manager's business inside as well.
        Err(_) if given.cover(found) => None,
        Err(refusal) => return Err(refusal),
    };
    let found = real.as_deref().unwrap_or(found);
    let file = found.canonicalize().at("find", found)?;
    let program = Program { file: file.clone(), ..Program::default() };
    let mut needs = Needs { program, grants, seen: HashSet::new(), name };
    needs.enter(found, &file, real.is_some())?;
    Ok(needs.program)
}

impl Needs<'_> {
    /// Adds the program itself, under the name it is called by.
    fn enter(&mut self, found: &Path, file: &Path, is_managed: bool) -> Result<()> {
        let is_apart = !is_shared(found) || !is_shared(file);
        if !is_apart {
            return self.read(found, file);
        }
        let command = command_of(found);
        let inside = match root_of(file) {
            Some(Root { dir, kind: Kind::NodePackage }) => {
                let inside = format!("{PROGRAMS}/lib/{}", name_of(&dir));
                let rest = file.strip_prefix(&dir).unwrap_or(file);
                self.program.links.push((format!("{inside}/{}", text(rest)?), command.clone()));
                self.bind(&dir, inside);
                command
            }
            None if !self.grants.cover(file) && script::interpreter(file)?.is_none() => {
                self.bind(file, command.clone());
                command
            }
            // Everything else keeps its path, by which it may find its own files.
            _ if found.is_symlink() && !self.grants.cover(found) => {
                self.visit(file)?;
                self.program.links.push((text(file)?.to_owned(), command.clone()));
                command
            }
            _ => {
                self.visit(found)?;
                self.grants.search_in(found.parent().unwrap_or(found));
                text(found)?.to_owned()
            }
        };
        if is_managed {
            self.grants.search_in(found.parent().unwrap_or(found));
        }
        if self.name.contains('/') && self.name != inside {
            self.program.renamed = Some((self.name.to_owned(), inside));
        }
        self.read(found, file)
    }

    /// Grants a path, and follows it: through links, and into what the file at its end names.
    fn visit(&mut self, path: &Path) -> Result<()> {
        if is_shared(path) || !self.seen.insert(path.to_owned()) {
            return Ok(());
        }
        if self.seen.len() > MOST {
            return Err(self.refuse(path, "is one of too many things that it leads to"));
        }
        let root = root_of(path);
        let place = root.as_ref().map_or(path, |root| &root.dir);
        if path.is_symlink() {
            if root.is_some() {
                self.grant(place)?;
            } else if !self.grants.cover(path) {
                let target = target_of(path)?;
                self.program.links.push((text(&target)?.to_owned(), text(path)?.to_owned()));
            }
            self.follow_root(root)?;
            return self.visit(&target_of(path)?);
        }
        self.grant(place)?;
        self.follow_root(root)?;
        let file = path.canonicalize().at("find", path)?;
        if file.is_file() { self.read(path, &file) } else { Ok(()) }
    }

    fn grant(&mut self, place: &Path) -> Result<()> {
        if self.grants.cover(place) && place.canonicalize().is_ok_and(|real| self.grants.cover(&real)) {
            return Ok(());
        }
        self.grants.add(place).map_err(|refusal| self.refuse(place, &refusal.message))
    }

    /// Goes on from a directory that belongs together to what lies elsewhere and belongs to it.
    fn follow_root(&mut self, root: Option<Root>) -> Result<()> {
        let Some(Root { dir, kind }) = root.filter(|root| self.seen.insert(root.dir.join("."))) else {
            return Ok(());
        };
        let others = match kind {
            Kind::NodeModules => node::links_out(&dir),
            Kind::Venv => python::bases(&dir).into_iter().chain(python::added(&dir)).collect(),
            Kind::Prefix => python::added(&dir),
            Kind::NodePackage => Vec::new(),
        };
        others.iter().try_for_each(|other| self.visit(other))
    }

    /// Looks into a program.
    fn read(&mut self, found: &Path, file: &Path) -> Result<()> {
        match script::interpreter(file)? {
            None => self.read_binary(file),
            Some(Interpreter::Path(interpreter)) => {
                if !interpreter.exists() {
                    return Err(self.refuse(
                        &interpreter,
                        "is the interpreter that its first line names, and is missing",
                    ));
                }
                self.visit(&interpreter)?;
                self.read_script(file, &interpreter)
            }
            Some(Interpreter::Name(name)) => {
                let interpreter = self.named_interpreter(found, &name)?;
                self.read_script(file, &interpreter)
            }
        }
    }

    fn read_script(&mut self, file: &Path, interpreter: &Path) -> Result<()> {
        if is_shared(file) {
            return Ok(());
        }
        if script::is_shell(interpreter) {
            let home = env::var_os("HOME").map(PathBuf::from);
            let named = script::references(file, home.as_deref());
            return named
                .iter()
                .filter(|path| is_needed(path, home.as_deref()))
                .try_for_each(|path| self.visit(path));
        }
        if name_of(interpreter).starts_with("python") && is_shared(interpreter) {
            return self.add_user_packages(file);
        }
        Ok(())
    }

    /// `pip install --user` puts packages next to the program's directory, where Python finds them by the home.
    fn add_user_packages(&mut self, file: &Path) -> Result<()> {
        let prefix = file
            .parent()
            .and_then(Path::parent)
            .filter(|prefix| root_of(file).is_none() && !is_shared(prefix));
        for packages in prefix.map(python::site_packages).unwrap_or_default() {
            self.grant(&packages)?;
            let value = text(&packages)?.to_owned();
            self.grants.variables.push(("PYTHONPATH".to_owned(), value));
        }
        Ok(())
    }

    /// Finds what `env` would find. A version manager keeps the interpreter next to the program.
    fn named_interpreter(&mut self, found: &Path, name: &str) -> Result<PathBuf> {
        let beside = found.parent().map(|directory| directory.join(name)).filter(|path| is_program(path));
        let interpreter = beside.or_else(|| find_on_path(name)).ok_or_else(|| not_found(name))?;
        let interpreter = manager::real(&interpreter)?.unwrap_or(interpreter);
        let real = interpreter.canonicalize().at("find", &interpreter)?;
        if is_shared(&interpreter) && is_shared(&real) {
            return Ok(interpreter);
        }
        let is_alone = match root_of(&real) {
            None => true,
            Some(root) => root.kind == Kind::Prefix && !has_libraries(&root.dir, name),
        };
        if is_alone && elf::read(&real).is_some() {
            self.bind(&real, format!("{PROGRAMS}/bin/{name}"));
            self.read_binary(&real)?;
        } else {
            self.visit(&interpreter)?;
            self.grants.search_in(interpreter.parent().unwrap_or(&interpreter));
        }
        Ok(interpreter)
    }

    /// A binary needs its loader, and the libraries that it looks for next to itself.
    fn read_binary(&mut self, file: &Path) -> Result<()> {
        let Some(elf) = elf::read(file).filter(|_| !is_shared(file)) else { return Ok(()) };
        if let Some(loader) = elf.loader {
            if !loader.exists() {
                return Err(self.refuse(&loader, "is the loader that it was linked for, and is missing"));
            }
            // `/lib64` is in every bottle.
            if !loader.starts_with("/lib64") {
                self.visit(&loader)?;
            }
        }
        let libraries = elf.libraries.iter().filter_map(|dir| dir.canonicalize().ok());
        for dir in libraries.filter(|dir| !is_shared(dir)).collect::<Vec<_>>() {
            self.keep_origin(file, &dir)?;
        }
        Ok(())
    }

    /// Libraries that are found from the program's own place want the program at its own path.
    fn keep_origin(&mut self, file: &Path, libraries: &Path) -> Result<()> {
        self.grant(libraries)?;
        let Some(moved) = self.program.binds.iter().position(|bind| bind.source == file) else {
            return Ok(());
        };
        let bind = self.program.binds.remove(moved);
        self.grant(file)?;
        self.program.links.push((text(file)?.to_owned(), bind.target));
        Ok(())
    }

    fn bind(&mut self, source: &Path, target: String) {
        if !self.program.binds.iter().any(|bind| bind.target == target) {
            self.program.binds.push(Bind { source: source.to_owned(), target });
        }
    }

    fn refuse(&self, path: &Path, reason: &str) -> Failure {
        let message =
            format!("the program `{}` needs `{}`, which {reason}", self.name.escape_default(), show(path));
        let place = path.parent().unwrap_or(path);
        Failure::new(FailureKind::Missing, message)
            .hint(format!("if a directory has it, grant that: bottles.<name>.tools: [{}]", show(place)))
            .hint("or install the agent another way, such as npm install -g, pipx or uv tool")
    }
}

/// Of what a shell script names, what it may run or read: programs, files that are not private, and directories of
/// packages.
fn is_needed(path: &Path, home: Option<&Path>) -> bool {
    let is_system = ["/dev", "/proc", "/sys", "/etc", "/run"].iter().any(|dir| path.starts_with(dir))
        || ["/tmp", "/var"].iter().any(|dir| path.parent() == Some(Path::new(dir)));
    let is_open = path.is_file() && why_private(path, home).is_none();
    !is_system && (is_open || is_program(path) || path.ends_with("node_modules"))
}

/// Returns `true` if a prefix has the library of a language, which its interpreter cannot do without.
fn has_libraries(prefix: &Path, interpreter: &str) -> bool {
    let language = interpreter.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let entries = fs::read_dir(prefix.join("lib")).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.into_iter().any(|name| name.starts_with(language) && name != "node_modules")
}

/// Returns where a link leads, by its text.
fn target_of(link: &Path) -> Result<PathBuf> {
    let target = fs::read_link(link).at("read", link)?;
    Ok(script::clean(&link.parent().unwrap_or(link).join(target)))
}

fn text(path: &Path) -> Result<&str> {
    path.to_str()
        .ok_or_else(|| Failure::new(FailureKind::Invalid, format!("the path `{}` is not UTF-8", show(path))))
}
