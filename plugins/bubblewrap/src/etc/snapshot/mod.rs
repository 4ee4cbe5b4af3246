//! Snapshots of `/etc` that bottles share: made once for each state of the host's, and mounted read-only.
//!
//! What was vetted is what is mounted: a later change of the host's `/etc` is in no bottle that runs. The key of a
//! snapshot covers the name, number, size and times of everything that may come in, the packages' databases, and the
//! boot, since files written before a power cut may be empty after it.
//!
//! Invariant: a snapshot that a bottle's directory links to is not removed. Taking one holds the lock until the link
//! is there; removing any needs the lock alone.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use claude_bottle_directory::layout::ETC;
use claude_bottle_directory::{Found, Store};
use claude_bottle_kit::host_files::write_new;
use claude_bottle_kit::paths::PathExt;
use claude_bottle_kit::tree;
use claude_bottle_plugin_api::Result;
use sha2::{Digest, Sha256};

use super::known::{DATABASES, Known, hex};
use super::rule::{Entry, Host, Kind, Leads, content, leads, survey};

/// What a snapshot is called while it is made.
const NEW: &str = ".new-";
const LOCK: &str = ".lock";

/// The link that shows the bottle's own name.
const HOSTNAME: (&str, &str) = ("hostname", "/proc/sys/kernel/hostname");

/// What a bottle has of its own, by its place below `/etc`.
#[derive(Debug, Default)]
pub(super) struct Own {
    pub(super) files: Vec<(&'static str, String)>,
    /// Links, which take the place of what the host has there.
    pub(super) links: Vec<(&'static str, String)>,
}

/// A snapshot that is not removed as long as this value exists.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) path: PathBuf,
    _lock: File,
}

impl Snapshot {
    /// Returns the one of this moment, and makes it when it is missing.
    pub(super) fn take(cache: &Path, host: &Host, own: &Own) -> Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(cache).at("create", cache)?;
        let lock = lock_file(cache).at("open the lock of", cache)?;
        lock.lock_shared().at("lock", cache)?;
        let entries = survey(host);
        let path = cache.join(key(host, &entries, own));
        if !path.is_dir() {
            make(cache, &path, host, &entries, own)?;
        }
        Ok(Self { path, _lock: lock })
    }
}

fn lock_file(cache: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(cache.join(LOCK))
}

fn key(host: &Host, entries: &[Entry], own: &Own) -> String {
    let mut hash = Sha256::new();
    hash.update(env!("CARGO_PKG_VERSION"));
    hash.update(fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default());
    let mut stamp = |name: &str, metadata: &fs::Metadata| {
        hash.update(name);
        let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
        let sizes = [metadata.size(), metadata.ino(), u64::from(metadata.mode())];
        hash.update(b"\0");
        times.iter().for_each(|time| hash.update(time.to_ne_bytes()));
        sizes.iter().for_each(|size| hash.update(size.to_ne_bytes()));
    };
    entries.iter().for_each(|entry| stamp(&entry.name, &entry.metadata));
    for database in DATABASES {
        if let Ok(metadata) = fs::metadata(host.root.join(database)) {
            stamp(database, &metadata);
        }
    }
    own.files.iter().for_each(|(name, text)| hash.update(format!("{name}\0{text}\0")));
    own.links.iter().for_each(|(name, target)| hash.update(format!("{name}\0link\0{target}\0")));
    hex(&hash.finalize())
}

/// Makes a snapshot under another name, so that it is whole when it has its own.
fn make(cache: &Path, path: &Path, host: &Host, entries: &[Entry], own: &Own) -> Result<()> {
    let unique = format!("{NEW}{}-{:?}", std::process::id(), std::thread::current().id());
    let new = cache.join(unique.replace(['(', ')'], ""));
    tree::remove(&new).at("remove", &new)?;
    make_dir(&new)?;
    let made = fill(&new, host, entries, own).and_then(|()| match fs::rename(&new, path) {
        // Another process made the same one meanwhile.
        Err(_) if path.is_dir() => tree::remove(&new).at("remove", &new),
        other => other.at("name", path),
    });
    if made.is_err() {
        tree::remove(&new).at("remove", &new)?;
    }
    made
}

fn fill(new: &Path, host: &Host, entries: &[Entry], own: &Own) -> Result<()> {
    let known = Known::read(host);
    for (name, text) in &own.files {
        write_new(&new.join(name), text.as_bytes(), 0o644)?;
    }
    symlink(HOSTNAME.1, new.join(HOSTNAME.0)).at("create", new)?;
    for entry in entries.iter().filter(|entry| entry.kind != Kind::Link) {
        let Some(content) = content(host, entry, &known) else { continue };
        let path = place(new, &entry.name)?;
        write_new(&path, &content, 0o644 | entry.metadata.mode() & 0o111)?;
    }
    add_links(new, host, entries)?;
    own.links.iter().try_for_each(|(name, target)| put_link(new, name, target))
}

/// Puts a link in place of what is there, unless its directory is a link itself: what that leads to has links of its own.
fn put_link(new: &Path, name: &str, target: &str) -> Result<()> {
    let parents = Path::new(name).ancestors().skip(1);
    if parents.map(|parent| new.join(parent)).any(|parent| parent.is_symlink()) {
        return Ok(());
    }
    let path = place(new, name)?;
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at("remove", &path)?,
        _ => {}
    }
    symlink(target, &path).at("create", &path)
}

/// Adds the links that lead to what is there. Some lead to others, so it goes on while there are more.
fn add_links(new: &Path, host: &Host, entries: &[Entry]) -> Result<()> {
    let links = entries.iter().filter(|entry| entry.kind == Kind::Link);
    let with_target = |entry: &Entry| {
        let target = fs::read_link(host.etc().join(&entry.name)).ok()?;
        Some((entry.name.clone(), target))
    };
    let mut left: Vec<_> = links.filter_map(with_target).collect();
    loop {
        let (ready, others): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|(name, target)| match leads(name, target) {
                Leads::Shared => true,
                Leads::Etc(below) => fs::symlink_metadata(new.join(below)).is_ok(),
                Leads::Out => false,
            });
        if ready.is_empty() {
            return Ok(());
        }
        for (name, target) in ready {
            let path = place(new, &name)?;
            symlink(&target, &path).at("create", &path)?;
        }
        left = others;
    }
}

/// Returns where something goes, with the directories that lead to it; others would only show their names.
fn place(new: &Path, name: &str) -> Result<PathBuf> {
    let mut parent = new.to_owned();
    for part in Path::new(name).parent().into_iter().flatten() {
        parent.push(part);
        make_dir(&parent)?;
    }
    Ok(new.join(name))
}

/// Makes a directory that everybody may read, whatever the user's mask takes away.
fn make_dir(path: &Path) -> Result<()> {
    match DirBuilder::new().create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made
            .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)))
            .at("create", path),
    }
}

/// Removes what no bottle links to. What cannot be removed now is removed the next time.
pub(super) fn prune(cache: &Path, bottles: &Store) {
    let Ok(lock) = lock_file(cache) else { return };
    let (Ok(()), Ok(found)) = (lock.try_lock(), bottles.all()) else { return };
    let mut used = Vec::new();
    for found in found {
        match found {
            Found::Bottle(record) => used.extend(fs::read_link(record.dir.join(ETC))),
            Found::Stray(..) => return,
        }
    }
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        let is_snapshot = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_snapshot
            && !used.contains(&entry.path())
            && let Err(error) = tree::remove(&entry.path())
        {
            tracing::debug!(%error, "a snapshot of /etc stays");
        }
    }
}

#[cfg(test)]
mod tests;
