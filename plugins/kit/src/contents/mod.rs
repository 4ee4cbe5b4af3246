//! What a bottle is given that takes one archive: skills, the user's files, the working directory, git, and what an earlier bottle left.
//!
//! A backend whose bottles are containers looks at all of it with [`survey`], adds what it wants to [`Files`], and sends them. One whose
//! bottles are directories of the host writes them there itself.

mod files;

use std::path::Path;

use claude_bottle_plugin_api::{Failure, Result, Spec, Workspace};

use crate::agent_files::{self, Content};
use crate::restore::Restored;
use crate::tree::{self, Amount};
use crate::workspace::{self, Checkout, Place, WorkspaceError};
use crate::{git, home, skills};

pub use files::Files;

/// How much is copied at most. It is there against sparse files, not against large projects.
const MAX_BYTES: u64 = 16 << 30;

/// What an entry costs in an archive: its header, and half of another for the end of its last block.
const HEADER: u64 = 768;

/// What a look at everything granted found.
#[derive(Debug, Default)]
pub struct Surveyed {
    /// What the plan says of it.
    pub facts: Vec<(&'static str, String)>,
    /// About how many bytes will be sent; 0 when there is little.
    pub bytes: u64,
}

/// What is put into one bottle, and where.
#[derive(Debug, Clone, Copy)]
pub struct Contents<'a> {
    /// The run.
    pub spec: &'a Spec,
    /// The agent's home.
    pub home: &'a str,
    /// The number and group of the agent's user.
    pub owner: (u32, u32),
    /// Where skills go.
    pub skills_dir: &'a str,
    /// Where the working directory lies.
    pub place: &'a Place,
    /// Whether the image has the directory where the agent starts without a copy.
    pub has_place: bool,
}

/// Checks on the host, before anything is made, that everything can be put in.
///
/// # Errors
/// Fails for the first that cannot be.
pub fn survey(spec: &Spec) -> Result<Surveyed> {
    let mut facts = skills::survey(&spec.agent.skills)?;
    facts.extend(agent_files::survey(&spec.agent)?);
    home::check(&spec.agent)?;
    let Some(workspace) = &spec.workspace else { return Ok(Surveyed { facts, bytes: 0 }) };
    let checkout = checkout(workspace, None)?;
    let refuse =
        |error| Failure::from(WorkspaceError::from(error)).context("cannot copy the working directory");
    let found = tree::survey(&workspace.source, &checkout.options).map_err(refuse)?;
    let mut bytes = in_archive(found.amount);
    for (source, options) in checkout.repository.iter().flat_map(|repository| &repository.trees) {
        bytes += in_archive(tree::survey(source, options).map_err(refuse)?.amount);
    }
    facts.extend(workspace::facts(&found));
    Ok(Surveyed { facts, bytes })
}

/// Looks at the directory: what comes along, and where its repository is.
fn checkout(workspace: &Workspace, owner: Option<(u32, u32)>) -> Result<Checkout> {
    let found = workspace::checkout(workspace, owner, MAX_BYTES);
    found.map_err(|error| Failure::from(error).context("cannot copy the working directory"))
}

/// Returns about how long an archive of this will be.
fn in_archive(amount: Amount) -> u64 {
    amount.bytes.saturating_add(amount.entries.saturating_mul(HEADER))
}

impl Contents<'_> {
    /// Adds the skills, under their names.
    pub fn skills(&self, files: &mut Files) {
        if self.spec.agent.skills.is_empty() {
            return;
        }
        let target = Path::new(self.skills_dir);
        files.dirs(Path::new(self.home), target, 0o700);
        for skill in &self.spec.agent.skills {
            files.tree(&skill.source, target.join(&skill.name), skills::options(Some(self.owner)));
        }
    }

    /// Adds files of the user's own, such as `~/.claude/CLAUDE.md`.
    ///
    /// # Errors
    /// Fails for one that cannot be read any more.
    pub fn agent_files(&self, files: &mut Files) -> Result<()> {
        let home = Path::new(self.home);
        for taken in agent_files::read(&self.spec.agent, Some(self.owner))? {
            let path = home.join(&taken.path);
            files.dirs(home, path.parent().unwrap_or(home), 0o700);
            match taken.content {
                Content::File(content) => files.file(path, 0o600, content),
                Content::Tree(source, options) => files.tree(&source, path, options),
            }
        }
        Ok(())
    }

    /// Adds the working directory, empty when there is nothing to copy and the image has none: it is where the agent starts.
    ///
    /// # Errors
    /// Fails when it cannot be looked at any more.
    pub fn workspace(&self, files: &mut Files) -> Result<()> {
        if self.spec.workspace.is_none() && self.has_place {
            return Ok(());
        }
        // Outside of the home, parent directories are made by the unpacking side and belong to root; in it they are the agent's.
        let (home, root) = (Path::new(self.home), Path::new(&self.place.root));
        files.dirs(home, root.parent().unwrap_or(home), 0o755);
        match &self.spec.workspace {
            Some(workspace) => {
                if let Some(index) = &workspace.index {
                    files.index(index, &self.place.root);
                }
                files.tree(&workspace.source, root, checkout(workspace, Some(self.owner))?.options);
            }
            None => files.dir(root, 0o755),
        }
        Ok(())
    }

    /// Adds what git inside knows of the user's, and the repository's data where it is not in the working directory, as of a worktree or
    /// a submodule; later entries of an archive win.
    ///
    /// # Errors
    /// Fails when the repository cannot be looked at any more.
    pub fn git(&self, files: &mut Files) -> Result<()> {
        let directory = Path::new(self.home).join(git::DIRECTORY);
        let settings = git::files(self.spec);
        if !settings.is_empty() {
            files.dirs(Path::new(self.home), &directory, 0o700);
        }
        for (name, content) in settings {
            files.file(directory.join(name), 0o600, content);
        }
        let Some(workspace) = &self.spec.workspace else { return Ok(()) };
        let Some(repository) = checkout(workspace, Some(self.owner))?.repository else { return Ok(()) };
        let root = Path::new(&self.place.root);
        for (source, options) in repository.trees {
            files.tree(&source, root.join(".git"), options);
        }
        for (path, content) in repository.files {
            files.file(root.join(path), 0o644, content);
        }
        Ok(())
    }

    /// Adds what an earlier bottle left: the last of the archive, over the working directory and over the home.
    ///
    /// # Errors
    /// Fails when it cannot be read.
    pub fn restored(&self, files: &mut Files) -> Result<()> {
        let spec = self.spec;
        let restored = Restored::read(spec.restore.as_ref(), &spec.agent, self.place, self.home)
            .map_err(|error| Failure::from(error).context("cannot go on from an earlier bottle"))?;
        if let Some(restored) = restored {
            files.lay(restored, &self.place.root, self.home);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
