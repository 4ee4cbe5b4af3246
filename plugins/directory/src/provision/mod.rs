//! What a bottle is granted beyond its program: prompt, skills, files of the user's own, ssh, git, each in a module of its own.
//!
//! Each writes into the fresh home from outside, before the agent runs.

mod agent_files;
mod git;
mod home;
mod prompt;
mod restore;
mod skills;
mod ssh;
mod workspace;

use std::fs;
use std::path::{Path, PathBuf};

use claude_bottle_kit::bwrap::Bwrap;
use claude_bottle_kit::host_files::{give, write_new};
use claude_bottle_kit::paths::PathExt;
use claude_bottle_kit::skills::survey;
use claude_bottle_kit::tree;
use claude_bottle_plugin_api::{Call, Provisioned, Result, Spec};

use crate::layout::HOME;
use crate::{Home, RunDir};

pub(crate) use workspace::Surveyed;
pub use workspace::copy as copy_workspace;

/// The bottle, from outside.
pub struct Guest<'a> {
    /// The call that is served.
    pub call: &'a Call,
    /// The run.
    pub spec: &'a Spec,
    /// Where the agent lives inside.
    pub home: &'a Home,
    /// Its directory.
    pub dir: &'a RunDir,
    /// How sandboxes of helpers are made, and whose the files are.
    pub bwrap: &'a Bwrap,
    /// How many bytes of the working directory there were when the plan was made.
    pub workspace_bytes: u64,
}

/// Refuses before the launch what could not be put in, and returns what the plan says of the rest.
pub(crate) fn check(spec: &Spec) -> Result<Surveyed> {
    let mut facts = survey(&spec.agent.skills)?;
    facts.extend(claude_bottle_kit::agent_files::survey(&spec.agent)?);
    claude_bottle_kit::home::check(&spec.agent)?;
    ssh::check(&spec.bottle.ssh)?;
    let found = workspace::survey(spec)?;
    facts.extend(found.facts);
    Ok(Surveyed { facts, ..found })
}

impl Guest<'_> {
    /// Puts in what a bottle is granted beyond its program, in this order.
    ///
    /// # Errors
    /// Fails for the first that cannot be put in, and when the call is cancelled.
    pub fn provision(&self) -> Result<Provisioned> {
        self.call.check()?;
        home::provision(self)?;
        let prompt = prompt::provision(self)?;
        skills::provision(self)?;
        agent_files::provision(self)?;
        ssh::provision(self)?;
        git::provision(self)?;
        restore::provision(self)?;
        Ok(Provisioned::with_prompt(prompt))
    }

    /// Returns the user that root becomes, whose the files are.
    fn owner(&self) -> Option<u32> {
        self.bwrap.run_as_uid
    }

    /// Returns a path of the home as the host sees it.
    fn outside(&self, relative: &str) -> PathBuf {
        self.dir.join(HOME).join(relative)
    }

    /// Writes a file of the agent's, in place of one that is there.
    fn write(&self, relative: &str, content: &[u8], mode: u32) -> Result<()> {
        self.write_at(&self.outside(relative), content, mode)
    }

    /// The same by a path of the host.
    fn write_at(&self, path: &Path, content: &[u8], mode: u32) -> Result<()> {
        self.clear(path)?;
        write_new(path, content, mode)?;
        give(path, self.owner())
    }

    /// Makes the directories on the way to a path of the home.
    fn make_dirs(&self, relative: &str, mode: u32) -> Result<()> {
        let mut path = PathBuf::new();
        for part in Path::new(relative).components() {
            path.push(part);
            if !self.outside(&path.to_string_lossy()).is_dir() {
                self.dir.make_dir(&format!("{HOME}/{}", path.display()), mode, self.owner())?;
            }
        }
        Ok(())
    }

    /// Removes what is at a path, whatever it is.
    fn clear(&self, path: &Path) -> Result<()> {
        match fs::symlink_metadata(path) {
            Err(_) => Ok(()),
            Ok(metadata) if metadata.is_dir() => tree::remove(path).at("remove", path),
            Ok(_) => fs::remove_file(path).at("remove", path),
        }
    }
}
