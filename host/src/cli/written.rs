//! A manifest that a command writes: what it was, what it is to be, judged before it takes the old one's place.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::App;
use super::trust::{locations, open};
use crate::error::{CliError, CliResult, Exit};
use crate::manifest::{self, Bottle, Locations, Manifest, ProblemKind, replace_file};

/// The manifest that is written.
pub(super) struct Written {
    /// Where manifests are looked for when this one is judged.
    pub(super) locations: Locations,
    /// Its path.
    pub(super) path: PathBuf,
    /// What it said when it was read.
    pub(super) old: Vec<u8>,
}

impl Written {
    /// Reads the user's own, or that of the project.
    pub(super) fn read(app: &App, here: bool) -> CliResult<Self> {
        if here {
            app.invocation.here()?;
        }
        let all = locations(app);
        let locations = if here { all } else { Locations { cwd: all.own.clone(), above: 0, ..all } };
        let path = manifest::path_in(&locations.cwd);
        match fs::read(&path) {
            Ok(old) => Ok(Self { locations, path, old }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (directory, flag) = if here { ("working", " --here") } else { ("home", "") };
                let message = format!("there is no manifest in the {directory} directory");
                let hint = format!("write one first: claude-bottle init AGENT{flag}");
                Err(CliError::new(Exit::Failed, message).hint(hint))
            }
            Err(error) => {
                Err(anyhow::Error::new(error).context(format!("cannot read `{}`", path.display())).into())
            }
        }
    }

    /// Reads the one that defines a bottle.
    pub(super) fn of(app: &App, bottle: &Bottle) -> CliResult<Self> {
        Self::read(app, is_of_project(app, bottle))
    }

    /// Says what is wrong with another text in its place.
    pub(super) fn judge(&self, app: &App, text: &[u8]) -> CliResult<Manifest> {
        Ok(Manifest::check_candidate(&self.locations, &open(app)?, &self.path, text)?)
    }

    /// Puts a text that was judged in its place, unless another program did so meanwhile.
    pub(super) fn save(&self, app: &App, text: &str) -> CliResult {
        let path = &self.path;
        let now = fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        if now != self.old {
            let message =
                format!("`{}` was changed by another program meanwhile; nothing was saved", path.display());
            return Err(CliError::new(Exit::Failed, message).hint("edit it again: claude-bottle edit"));
        }
        replace_file(path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
        app.ui.status(&format!("saved {}", path.display()));
        let loaded = Manifest::load(&self.locations, &open(app)?);
        let needs_trust = loaded.is_err_and(|errors| errors.has(ProblemKind::Untrusted));
        if needs_trust && !app.ui.is_quiet() {
            app.ui.hint("its bottles count once you trust what it says now: claude-bottle trust");
        }
        Ok(())
    }
}

/// Returns `true` if a bottle is defined by the project and not by the user's own manifest.
pub(super) fn is_of_project(app: &App, bottle: &Bottle) -> bool {
    bottle.origin.path().parent() != Some(app.invocation.home.as_path())
}

/// Returns the command that edits the manifest of a bottle.
pub(super) fn how_to_edit(app: &App, bottle: &Bottle) -> &'static str {
    if is_of_project(app, bottle) { "claude-bottle edit --here" } else { "claude-bottle edit" }
}

/// Returns the text of a manifest that was read as UTF-8 before.
pub(super) fn text<'b>(bytes: &'b [u8], path: &Path) -> CliResult<&'b str> {
    let text = std::str::from_utf8(bytes);
    Ok(text.with_context(|| format!("cannot read `{}`", path.display()))?)
}
