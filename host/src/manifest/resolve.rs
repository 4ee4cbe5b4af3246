//! What callers ask of a loaded manifest: one agent with its bottle, or what a project's file would grant.

use std::path::{Path, PathBuf};

use super::load;
use super::model::{Agent, Bottle, BottleName};
use super::problem::{ManifestErrors, ProblemKind};
use super::suggest::{listed, nearest};
use super::{Locations, Manifest, Role};

/// An agent and the bottle it runs in.
#[derive(Debug, Clone, Copy)]
pub struct ResolvedAgent<'m> {
    /// The agent.
    pub agent: &'m Agent,
    /// Its bottle.
    pub bottle: &'m Bottle,
}

/// An agent that no manifest defines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no agent `{name}`")]
pub struct UnknownAgent {
    /// The name that was asked for.
    pub name: String,
    /// The agent that was meant, perhaps.
    pub nearest: Option<String>,
    /// The agents there are.
    pub available: Vec<String>,
}

impl UnknownAgent {
    /// Returns what is available, and what may have been meant.
    pub fn notes(&self) -> Vec<String> {
        let nearest = self.nearest.iter().map(|nearest| format!("did you mean `{nearest}`?"));
        let available = format!("agents: {}", listed(self.available.iter().map(String::as_str)));
        nearest.chain([available]).collect()
    }
}

impl Manifest {
    /// Returns an agent and its bottle.
    pub fn agent(&self, name: &str) -> Result<ResolvedAgent<'_>, UnknownAgent> {
        let agent = self.agents.get(name);
        // The load made sure that each agent's bottle is there.
        match agent.and_then(|agent| Some((agent, self.bottles.get(&agent.bottle)?))) {
            Some((agent, bottle)) => Ok(ResolvedAgent { agent, bottle }),
            None => {
                let available: Vec<String> = self.agents.keys().map(ToString::to_string).collect();
                let nearest = nearest(name, available.iter().map(String::as_str)).map(str::to_owned);
                Err(UnknownAgent { name: name.to_owned(), nearest, available })
            }
        }
    }
}

/// The working directory's manifest, read as if it were trusted: for showing what trusting it would grant.
#[derive(Debug, Clone)]
pub struct ProjectFile {
    /// Its canonical path.
    pub path: PathBuf,
    /// The bytes that were read. Trust these, never the file read again.
    pub content: Vec<u8>,
    /// The bottles it defines.
    pub bottles: Vec<Bottle>,
    /// Bottles of the home directory's manifest that it would replace.
    pub replaces: Vec<BottleName>,
    /// The agents it defines.
    pub agents: Vec<Agent>,
}

impl ProjectFile {
    /// Reads the working directory's manifest. `None` means that it has none, or is the home directory.
    pub fn inspect(locations: &Locations) -> Result<Option<Self>, ManifestErrors> {
        let manifest = match load::load(locations, None, &|_, _| true, load::Wanted::All) {
            Ok(manifest) => manifest,
            Err(errors) if errors.has(ProblemKind::NoFile) => return Ok(None),
            Err(errors) => return Err(errors),
        };
        let Some(file) = manifest.files.iter().find(|file| file.role == Role::Project).cloned() else {
            return Ok(None);
        };
        let is_here = |path: &Path| path.parent() == Some(locations.cwd.as_path());
        let bottles: Vec<Bottle> =
            manifest.bottles.values().filter(|bottle| is_here(bottle.origin.path())).cloned().collect();
        let agents = manifest.agents.values().filter(|agent| is_here(agent.origin.path())).cloned().collect();
        let replaces = bottles
            .iter()
            .filter(|bottle| manifest.replaced.contains(&bottle.name))
            .map(|bottle| bottle.name.clone())
            .collect();
        Ok(Some(Self { path: file.path, content: file.content, bottles, replaces, agents }))
    }
}
