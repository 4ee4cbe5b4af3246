//! What is put into a bottle before the agent runs: each part in its own module, which decides whether there is anything to do.
//!
//! Secret variables and the prompt come first, by the container's own process. Then all other files travel in one archive, in one pass, while the
//! sidecar still starts; and last come keys, by a command of root's. The parts know no engine: they add to [`Files`] and speak to a [`Guest`].

pub(crate) mod environment;
mod prompt;
mod room;
mod send;
mod ssh;

use claude_bottle_kit::Meter;
use claude_bottle_kit::contents::{self, Contents, Files, Surveyed};
use claude_bottle_kit::workspace::Place;
use claude_bottle_plugin_api::{Call, Provisioned, Result, Spec};
use zeroize::Zeroizing;

use crate::config::Config;
use crate::guest::{Body, Output};

/// A bottle, as a provisioner sees it.
pub(crate) trait Guest {
    /// Unpacks an uncompressed archive at the root.
    async fn put(&self, archive: Body) -> Result<()>;
    /// Runs a command of our own program in a bottle that runs; an exit code other than 0 is a failure.
    async fn run(&self, command: Command) -> Result<Output>;
}

/// A short command of `bottle-guest`.
pub(crate) struct Command {
    /// What it does, for a failure's message.
    pub(crate) action: &'static str,
    /// Its arguments. Never a secret: every user can read an argument list.
    pub(crate) words: Vec<String>,
    /// Its standard input; may be a secret.
    pub(crate) input: Zeroizing<Vec<u8>>,
    /// Whether root runs it, in place of the agent's user.
    pub(crate) root: bool,
}

/// What the provisioners work from.
pub(crate) struct Task<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) home: &'a str,
    /// The number and group of the agent's user.
    pub(crate) owner: (u32, u32),
    pub(crate) skills_dir: String,
    pub(crate) place: Place,
    /// Whether the image has the directory where the agent starts without a copy.
    pub(crate) has_place: bool,
    /// The proxy's address and port, once they are known.
    pub(crate) proxy: Option<&'a str>,
    /// About how many bytes will be sent; 0 when that is not known.
    pub(crate) bytes: u64,
}

impl Task<'_> {
    /// Returns what travels in archives.
    fn contents(&self) -> Contents<'_> {
        Contents {
            spec: self.spec,
            home: self.home,
            owner: self.owner,
            skills_dir: &self.skills_dir,
            place: &self.place,
            has_place: self.has_place,
        }
    }
}

/// Checks on the host, before anything is made, that everything granted can be put in.
pub(crate) fn survey(spec: &Spec) -> Result<Surveyed> {
    ssh::survey(spec)?;
    contents::survey(spec)
}

/// Puts in what is files alone, which needs no sidecar.
pub(crate) async fn copy_in(guest: &impl Guest, call: &Call, task: &Task<'_>, config: &Config) -> Result<()> {
    let step = call.step("copy-in", "copying files into the bottle");
    let (contents, mut files) = (task.contents(), Files::of(task.owner));
    if !room::is_needed(task) {
        contents.skills(&mut files);
        contents.agent_files(&mut files)?;
    }
    contents.workspace(&mut files)?;
    contents.git(&mut files)?;
    contents.restored(&mut files)?;
    let mut meter = Meter::new(call, "copy-in", Some(task.bytes));
    if !files.is_empty() {
        send::send(files, guest, |done| meter.tell(done)).await?;
    }
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
    let mut files = Files::of(task.owner);
    ssh::add(task, &mut files)?;
    if room::is_needed(task) {
        room::make(guest, task).await?;
        task.contents().skills(&mut files);
        task.contents().agent_files(&mut files)?;
    }
    if !files.is_empty() {
        let step = call.step("set-up", "setting the bottle up");
        send::send(files, guest, |_| ()).await?;
        if has_keys {
            ssh::start(guest, task).await?;
        }
        step.done();
    }
    config.fault.after(call, "set-up").await?;
    Ok(Provisioned::with_prompt(prompt::prompt_path(task)))
}

#[cfg(test)]
mod tests;
