//! What is put into a bottle before the agent runs: each part in its module, each gating itself.
//!
//! Secret variables come first, by the container's own process. Then all files travel in one archive, in one pass, while the
//! sidecar still starts; and last come keys, by a program of root's. The parts know no engine: they add to [`Files`] and speak to a [`Guest`].

pub(crate) mod environment;
mod files;
mod git;
mod prompt;
mod skills;
mod ssh;
mod workspace;

use claude_bottle_backend_shared::Meter;
use claude_bottle_plugin_api::{Call, Provisioned, Result, Spec};
use zeroize::Zeroizing;

use crate::config::Config;
use crate::guest::{Body, Output};
pub(crate) use files::Files;

/// A bottle, as a provisioner sees it.
pub(crate) trait Guest {
    /// Unpacks an uncompressed archive at the root.
    async fn put(&self, archive: Body) -> Result<()>;
    /// Runs a shell script in a bottle that runs; an exit code other than 0 is a failure.
    async fn run(&self, script: Script<'_>) -> Result<Output>;
}

/// A short script to be run in a bottle.
pub(crate) struct Script<'a> {
    /// What it does, for a failure's message.
    pub(crate) action: &'static str,
    /// The text for `sh -c`.
    pub(crate) text: &'a str,
    /// Its arguments, `$1` onwards. Never a secret: an argument list is for everyone to read.
    pub(crate) arguments: Vec<String>,
    /// Its standard input; may be a secret.
    pub(crate) input: Zeroizing<Vec<u8>>,
    /// Whether root runs it, in place of the agent's user.
    pub(crate) root: bool,
}

/// What the provisioners work from.
pub(crate) struct Task<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) home: &'a str,
    pub(crate) skills_dir: &'a str,
    pub(crate) workspace: String,
    /// The proxy's address and port, once they are known.
    pub(crate) proxy: Option<&'a str>,
    /// About how many bytes will be sent; 0 when that is not known.
    pub(crate) bytes: u64,
}

/// What a look at everything granted found.
#[derive(Debug, Default)]
pub(crate) struct Surveyed {
    /// What the plan says of it.
    pub(crate) facts: Vec<(&'static str, String)>,
    /// About how many bytes will be sent; 0 when there is little.
    pub(crate) bytes: u64,
}

/// Checks on the host, before anything is made, that everything granted can be put in.
pub(crate) fn survey(spec: &Spec) -> Result<Surveyed> {
    skills::survey(spec)?;
    ssh::survey(spec)?;
    workspace::survey(spec)
}

/// Puts in what is files alone, which needs no sidecar.
pub(crate) async fn copy_in(guest: &impl Guest, call: &Call, task: &Task<'_>, config: &Config) -> Result<()> {
    let step = call.step("copy-in", "copying files into the bottle");
    let mut files = Files::default();
    prompt::add(task, &mut files);
    if !skills::need_room(task) {
        skills::add(task, &mut files);
    }
    workspace::add(task, &mut files)?;
    git::add(task, &mut files)?;
    let mut meter = Meter::new(call, "copy-in", Some(task.bytes));
    files.send(guest, |done| meter.tell(done)).await?;
    config.fault.after(call, "copy-in").await?;
    step.done();
    Ok(())
}

/// Puts in the rest: what needs the proxy's address, or a program run inside.
pub(crate) async fn set_up(
    guest: &impl Guest,
    call: &Call,
    task: &Task<'_>,
    config: &Config,
) -> Result<Provisioned> {
    let has_keys = !task.spec.bottle.ssh.is_empty();
    let mut files = Files::default();
    ssh::add(task, &mut files)?;
    if skills::need_room(task) {
        skills::make_room(guest, task).await?;
        skills::add(task, &mut files);
    }
    if !files.is_empty() {
        let step = call.step("set-up", "setting the bottle up");
        files.send(guest, |_| ()).await?;
        if has_keys {
            ssh::start(guest, task).await?;
        }
        step.done();
    }
    config.fault.after(call, "set-up").await?;
    Ok(Provisioned::with_prompt(prompt::handed_on(task)))
}

#[cfg(test)]
mod tests;
