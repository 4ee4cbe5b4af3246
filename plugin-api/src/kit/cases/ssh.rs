//! SSH: a key that the agent can use and cannot read.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kit::bench::{Bench, Check, Session, Stop, ensure};
use crate::kit::program::{self, printed, script};
use crate::kit::snapshot;
use crate::{Bottle, ExecRole, SshEntry};

/// A key of the kit's own.
struct Key {
    file: PathBuf,
    public: String,
    /// A line of its private half.
    private: String,
}

impl Key {
    fn make(directory: &Path) -> Check<Self> {
        let file = directory.join("kit_key");
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&file).output();
        if !made.is_ok_and(|output| output.status.success()) {
            return Err(Stop::Skip("there is no `ssh-keygen` here".to_owned()));
        }
        let public = std::fs::read_to_string(file.with_extension("pub"))?;
        let private = std::fs::read_to_string(&file)?;
        let longest = private.lines().max_by_key(|line| line.len()).unwrap_or_default().to_owned();
        Ok(Self { file, public: public.trim().to_owned(), private: longest })
    }
}

/// Makes a bottle that may use a key.
fn bottle<'b>(bench: &'b Bench) -> Check<(Session<'b>, Bottle, Key, PathBuf)> {
    let session = bench.session()?;
    let mut spec = bench.spec()?;
    let key = Key::make(&bench.options.scratch.join(&spec.id))?;
    spec.bottle.ssh.push(SshEntry::new("kit-forge", "forge.kit.test", &key.file));
    let bottle = session.bottle_of(&spec)?;
    Ok((session, bottle, key, spec.state_dir))
}

pub(super) fn usable(bench: &Bench) -> Check {
    let (session, bottle, key, _) = bottle(bench)?;
    let text = "command -v ssh-add >/dev/null || exit 42
        test -S \"$SSH_AUTH_SOCK\" || exit 43
        ssh-add -L && printf '%s\n' \"$1\" > /tmp/kit.pub && ssh-add -T /tmp/kit.pub >&2";
    let ended =
        program::run(&session.opened, &bottle, ExecRole::Command, &script(text, &[&key.public]), b"")?;
    let (code, listed) = (ended.code, ended.stdout_text());
    if code == 42 {
        return Err(Stop::Skip("there is no `ssh-add` in the bottle".to_owned()));
    }
    ensure!(code != 43, "`SSH_AUTH_SOCK` names no socket");
    let wanted = key.public.split(' ').nth(1).unwrap_or_default();
    ensure!(listed.contains(wanted), "the agent lists {listed:?}: {}", ended.stderr_text());
    ensure!(code == 0, "the key cannot be used: {}", ended.stderr_text());
    Ok(())
}

pub(super) fn hidden(bench: &Bench) -> Check {
    let (session, bottle, key, state_dir) = bottle(bench)?;
    let file = key.file.display().to_string();
    let text = "cat \"$1\" 2>/dev/null; for dir in \"$HOME\" /tmp /run /dev/shm; do
        grep -rlF -e \"$2\" \"$dir\" 2>/dev/null; done; true";
    let found = printed(&session, &bottle, text, &[&file, &key.private])?;
    ensure!(
        !found.contains(&key.private),
        "the private key can be read in the bottle, at its place on the host"
    );
    ensure!(found.is_empty(), "the private key is in the bottle: {found}");
    for file in [state_dir, bench.data_dir()].iter().flat_map(|dir| snapshot::files(dir).into_keys()) {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        ensure!(!text.contains(&key.private), "the private key is in `{}`", file.display());
    }
    Ok(())
}
