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
pub(crate) mod workspace;

use std::fs;
use std::path::{Path, PathBuf};

use claude_bottle_kit::skills::survey;
use claude_bottle_plugin_api::{Bottle, Call, Plan, Provisioned, Result, Spec};

use crate::guest::Home;
use crate::plan::Planned;
use crate::record::Record;
use crate::rundir::RunDir;
use crate::sandbox::HOME;
use claude_bottle_kit::host_files::{give, write_new};
use claude_bottle_kit::paths::PathExt;

/// The bottle, from outside.
pub(crate) struct Guest<'a> {
    pub(crate) call: &'a Call,
    pub(crate) state: &'a Planned,
    pub(crate) dir: RunDir,
}

/// Puts everything in, in this order.
pub(crate) fn provision(call: &Call, plan: &Plan, bottle: &Bottle) -> Result<Provisioned> {
    call.check()?;
    let state = Planned::read(plan)?;
    let record: Record = bottle.state()?;
    let guest = Guest { call, state: &state, dir: RunDir::at(record.dir) };
    home::provision(&guest)?;
    let prompt = prompt::provision(&guest)?;
    skills::provision(&guest)?;
    agent_files::provision(&guest)?;
    ssh::provision(&guest)?;
    git::provision(&guest)?;
    restore::provision(&guest)?;
    Ok(Provisioned::with_prompt(prompt))
}

/// Refuses before the launch what could not be put in.
pub(crate) fn check(spec: &Spec) -> Result<workspace::Surveyed> {
    let mut facts = survey(&spec.agent.skills)?;
    facts.extend(claude_bottle_kit::agent_files::survey(&spec.agent)?);
    claude_bottle_kit::home::check(&spec.agent)?;
    ssh::check(&spec.bottle.ssh)?;
    let found = workspace::survey(spec)?;
    facts.extend(found.facts);
    Ok(workspace::Surveyed { facts, ..found })
}

impl Guest<'_> {
    fn home(&self) -> &Home {
        &self.state.home
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
        give(path, self.state.bwrap.run_as_uid)
    }

    /// Makes the directories on the way to a path of the home.
    fn make_dirs(&self, relative: &str, mode: u32) -> Result<()> {
        let mut path = PathBuf::new();
        for part in Path::new(relative).components() {
            path.push(part);
            if !self.outside(&path.to_string_lossy()).is_dir() {
                self.dir.make_dir(
                    &format!("{HOME}/{}", path.display()),
                    mode,
                    self.state.bwrap.run_as_uid,
                )?;
            }
        }
        Ok(())
    }

    /// Removes what is at a path, whatever it is.
    fn clear(&self, path: &Path) -> Result<()> {
        match fs::symlink_metadata(path) {
            Err(_) => Ok(()),
            Ok(metadata) if metadata.is_dir() => claude_bottle_kit::tree::remove(path).at("remove", path),
            Ok(_) => fs::remove_file(path).at("remove", path),
        }
    }
}
