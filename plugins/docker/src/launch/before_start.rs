//! What is put into the agent's container before it starts, in one archive.

use std::path::Path;

use claude_bottle_egress_policy::GuardConfig;
use claude_bottle_kit::tree::{Entry, TarWriter, TreeError};
use claude_bottle_kit::trust;
use claude_bottle_plugin_api::Result;

use crate::engine::{Body, whole};
use crate::error::DockerError;
use crate::image;
use crate::image::guard::{GUEST, LINK_DIR, SOCKET_DIR};
use crate::link::Link;
use crate::plan::Planned;

/// Root's, as everything here is.
const fn entry(mode: u32) -> Entry {
    Entry { owner: (0, 0), mode, mtime: 0 }
}

/// Returns what an image of the user's own may lack, the program for the inside where nothing shared holds it, and what makes
/// programs trust the guard. `authority` is the guard's, where the agent's container shares no directory with it.
pub(super) fn archive(plan: &Planned, authority: Option<&str>) -> Result<Option<Body>> {
    // One with a tag of the user's own may be another than that of this plug-in, and lack what a volume takes its owner from.
    let has_home = plan.user.is_own && (plan.spec.workspace.is_none() || !plan.image.may_be_the_users());
    // On this machine they are bound in, which spares an archive for a small part of what a start takes.
    let trusts = trust::is_needed(&plan.spec) && plan.link != Link::HostSocket;
    if has_home && plan.link.brings_guest() && !trusts {
        return Ok(None);
    }
    let guest = match plan.link.brings_guest() {
        true => None,
        false => Some(image::guard::read(&plan.guest, &plan.arch)?.0),
    };
    let files = authority.map(|authority| files(plan, authority)).transpose()?;
    let write = || -> Result<Vec<u8>, TreeError> {
        let mut bytes = Vec::new();
        let mut writer = TarWriter::new(&mut bytes);
        if !has_home {
            plan.user.write(&mut writer, claude_bottle_kit::home::state(&plan.spec.agent))?;
        }
        if let Some(guest) = &guest {
            writer.dir(Path::new(LINK_DIR), entry(0o755))?;
            writer.file(Path::new(GUEST), entry(0o555), guest)?;
            image::guard::command(&mut writer, entry(0o755))?;
        }
        if let Some(files) = &files {
            writer.dir(Path::new(SOCKET_DIR), entry(0o755))?;
            for (name, content) in files {
                writer.file(&Path::new(SOCKET_DIR).join(name), entry(0o444), content.as_bytes())?;
            }
        }
        if trusts {
            links(&mut writer, files.is_some())?;
        }
        writer.finish()?;
        Ok(bytes)
    };
    Ok(Some(whole(write().map_err(|source| DockerError::CopyIn { source })?)))
}

/// Adds the links in place of the system's authorities. Directories that are missing the engine makes, root's and open to all.
fn links(writer: &mut TarWriter<'_>, has_own_files: bool) -> Result<(), TreeError> {
    let mut links = trust::links(SOCKET_DIR);
    if has_own_files {
        // What the guard writes for Java is not among them.
        links.retain(|(place, _)| *place != trust::JAVA);
    }
    links
        .iter()
        .try_for_each(|(place, target)| writer.link(Path::new(place), entry(0o777), Path::new(target)))
}

/// Returns the trust files of a guard with this authority.
fn files(plan: &Planned, authority: &str) -> Result<[(&'static str, String); 2], DockerError> {
    let config = GuardConfig::from_yaml(&plan.spec.bottle.egress.config)
        .map_err(|source| DockerError::ReadGuardConfig { source })?;
    Ok(trust::files(&config.roots, authority))
}
