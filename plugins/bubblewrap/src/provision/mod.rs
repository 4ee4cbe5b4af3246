//! What a bottle is granted beyond its program: prompt, skills, ssh, git, each in a module of its own.
//!
//! Each writes into the fresh home from outside, before the agent runs.

mod git;
mod onboarding;
mod prompt;
mod skills;
mod ssh;
pub(crate) mod workspace;

use std::fs;
use std::path::{Path, PathBuf};

use claude_bottle_plugin_api::{Bottle, Call, Plan, Provisioned, Result, Spec};

use crate::error::PathExt;
use crate::guest::Home;
use crate::plan::PlanState;
use crate::record::Record;
use crate::rundir::{RunDir, give, write_new};
use crate::sandbox::HOME;

/// The bottle, from outside.
pub(crate) struct Guest<'a> {
    pub(crate) call: &'a Call,
    pub(crate) state: &'a PlanState,
    pub(crate) dir: RunDir,
}

/// Puts everything in, in this order.
pub(crate) fn provision(call: &Call, plan: &Plan, bottle: &Bottle) -> Result<Provisioned> {
    call.check()?;
    let state: PlanState = plan.state()?;
    let record: Record = bottle.state()?;
    let guest = Guest { call, state: &state, dir: RunDir { path: record.dir } };
    onboarding::provision(&guest)?;
    let prompt = prompt::provision(&guest)?;
    skills::provision(&guest)?;
    ssh::provision(&guest)?;
    git::provision(&guest)?;
    Ok(Provisioned::with_prompt(prompt))
}

/// Refuses before the launch what could not be put in.
pub(crate) fn check(spec: &Spec) -> Result<workspace::Surveyed> {
    skills::check(&spec.agent.skills)?;
    ssh::check(&spec.bottle.ssh)?;
    workspace::survey(spec)
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
        let path = self.outside(relative);
        self.clear(&path)?;
        write_new(&path, content, mode)?;
        give(&path, self.state.drop_to)
    }

    /// Makes the directories on the way to a path of the home.
    fn make_dirs(&self, relative: &str, mode: u32) -> Result<()> {
        let mut path = PathBuf::new();
        for part in Path::new(relative).components() {
            path.push(part);
            if !self.outside(&path.to_string_lossy()).is_dir() {
                self.dir.make_dir(&format!("{HOME}/{}", path.display()), mode, self.state.drop_to)?;
            }
        }
        Ok(())
    }

    /// Removes what is at a path, whatever it is.
    fn clear(&self, path: &Path) -> Result<()> {
        match fs::symlink_metadata(path) {
            Err(_) => Ok(()),
            Ok(metadata) if metadata.is_dir() => crate::tree::remove(path).at("remove", path),
            Ok(_) => fs::remove_file(path).at("remove", path),
        }
    }
}
