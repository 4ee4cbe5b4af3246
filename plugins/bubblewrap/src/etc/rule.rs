//! What of the host's `/etc` comes into a bottle.
//!
//! The rule: it belongs to root and everybody may read it; it is not of a kind that is about this machine, its users,
//! its network, its services or its secrets; and a package put it there, unchanged. A link comes along when it leads
//! to what the bottle has. A few files and directories that nearly every program reads are made on each machine from
//! packages, and come as they are.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::kinds::is_out;
use super::known::{Known, Verdict};
use claude_bottle_kit::bwrap::SHARED;

/// Files that come as they are: made on the machine, and read by nearly every program.
const FILES: [&str; 15] = [
    "bash.bashrc",
    "gai.conf",
    "host.conf",
    "inputrc",
    "ld.so.cache",
    "ld.so.conf",
    "localtime",
    "mailcap",
    "mime.types",
    "profile",
    "protocols",
    "services",
    "shells",
    "ssl/openssl.cnf",
    "timezone",
];

/// Directories that come as they are: certificates, the choice between alternatives, fonts, catalogs of documents,
/// and where the parts of a language's installation are.
const DIRECTORIES: [&str; 10] = [
    "alternatives",
    "crypto-policies",
    "fonts",
    "ld.so.conf.d",
    "pki/ca-trust/extracted",
    "pki/tls/certs",
    "python3",
    "sgml",
    "ssl/certs",
    "xml",
];

/// A file larger than this is not a program's configuration.
const LARGEST: u64 = 8 << 20;

/// Whose `/etc` it is, and who has to own what comes in.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) root: PathBuf,
    pub(crate) owner: u32,
}

impl Default for Host {
    fn default() -> Self {
        Self { root: PathBuf::from("/"), owner: 0 }
    }
}

impl Host {
    pub(super) fn etc(&self) -> PathBuf {
        self.root.join("etc")
    }
}

/// Something that may come in.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its path below `/etc`.
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) metadata: Metadata,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Comes as it is.
    Listed,
    /// Comes when it is as its package brought it.
    File,
    /// Comes when it leads to what the bottle has.
    Link,
}

/// Lists what may come in. What cannot be read stays out.
pub(super) fn survey(host: &Host) -> Vec<Entry> {
    let mut found = Vec::new();
    walk(host, "", false, &mut found);
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

fn walk(host: &Host, below: &str, is_listed: bool, found: &mut Vec<Entry>) {
    for entry in fs::read_dir(host.etc().join(below)).into_iter().flatten().flatten() {
        let Ok(file_name) = entry.file_name().into_string() else { continue };
        let name = if below.is_empty() { file_name } else { format!("{below}/{file_name}") };
        let Ok(metadata) = entry.metadata() else { continue };
        if is_out(&name) || metadata.uid() != host.owner {
            continue;
        }
        let is_listed = is_listed || DIRECTORIES.contains(&&*name) || FILES.contains(&&*name);
        let (kind, mode) = (metadata.file_type(), metadata.mode());
        if kind.is_symlink() {
            found.push(Entry { name, kind: Kind::Link, metadata });
        } else if kind.is_dir() && mode & 0o007 == 0o005 {
            walk(host, &name, is_listed, found);
        } else if kind.is_file() && mode & 0o006 == 0o004 && metadata.len() <= LARGEST {
            let kind = if is_listed { Kind::Listed } else { Kind::File };
            found.push(Entry { name, kind, metadata });
        }
    }
}

/// Reads a file that may come in, if it does.
pub(super) fn content(host: &Host, entry: &Entry, known: &Known) -> Option<Vec<u8>> {
    let content = fs::read(host.etc().join(&entry.name)).ok()?;
    let comes = entry.kind == Kind::Listed || known.verdict(&entry.name, &content) == Verdict::Brought;
    comes.then_some(content)
}

/// Lists the files that a package brought and somebody changed.
pub(super) fn changed(host: &Host, entries: &[Entry], known: &Known) -> Vec<String> {
    let files = entries.iter().filter(|entry| entry.kind == Kind::File);
    let is_changed = |entry: &&Entry| {
        let content = fs::read(host.etc().join(&entry.name)).unwrap_or_default();
        known.verdict(&entry.name, &content) == Verdict::Changed
    };
    files.filter(is_changed).map(|entry| entry.name.clone()).collect()
}

/// Where a link leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Leads {
    /// To something every bottle has.
    Shared,
    /// To this, below `/etc`.
    Etc(PathBuf),
    /// Anywhere else, which its text would name.
    Out,
}

/// Follows the text of a link, and no file.
pub(super) fn leads(name: &str, target: &Path) -> Leads {
    let mut path = Path::new("/etc").join(name);
    path.pop();
    for component in target.components() {
        match component {
            Component::ParentDir => drop(path.pop()),
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    if SHARED.iter().chain(&["/proc/self"]).any(|shared| path.starts_with(shared)) {
        return Leads::Shared;
    }
    path.strip_prefix("/etc").map_or(Leads::Out, |below| Leads::Etc(below.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_where_its_text_says() {
        let check = |name: &str, target: &str, expected: Leads| {
            assert_eq!(leads(name, Path::new(target)), expected, "{name} -> {target}");
        };
        check("os-release", "../usr/lib/os-release", Leads::Shared);
        check("alternatives/java", "/usr/lib/jvm/java-17/bin/java", Leads::Shared);
        check("mtab", "../proc/self/mounts", Leads::Shared);
        check(
            "php/8.2/cli/conf.d/10-pdo.ini",
            "/etc/php/8.2/mods/pdo.ini",
            Leads::Etc("php/8.2/mods/pdo.ini".into()),
        );
        check("a/b", "c", Leads::Etc("a/c".into()));
        for out in ["/home/alice/x", "/usr/../home/alice", "../run/x", "/proc/1/environ", "/var/lib/x"] {
            check("x", out, Leads::Out);
        }
    }

    #[test]
    fn what_is_listed_is_not_of_a_kind_that_stays_out() {
        for name in FILES.iter().chain(&DIRECTORIES) {
            assert!(!is_out(name), "{name}");
        }
    }
}
