//! The bottle's `/etc`: a few files of its own, and those of the host's that are unchanged since a package installed them.
//!
//! `rule` decides what comes in, `known` reads what packages brought, `snapshot` keeps the copy that bottles share.
//! One directory is mounted for all of it; only `hosts` differs between bottles.

mod kinds;
mod known;
mod rule;
mod snapshot;

use std::os::unix::fs::symlink;
use std::path::Path;

use claude_bottle_directory::inside::{GUARD_DIR, ID, USER};
use claude_bottle_directory::layout::ETC;
use claude_bottle_directory::{Home, RunDir, Store};
use claude_bottle_kit::host_files::write_new;
use claude_bottle_kit::paths::PathExt;
use claude_bottle_kit::trust;
use claude_bottle_plugin_api::{Result, Spec};

use crate::plan::Planned;

use rule::Host;
use snapshot::{Own, Snapshot};

/// The directory of snapshots, next to that of the bottles.
const CACHE: &str = "etc";

/// The one file that names the bottle; the name is that of the file in the bottle's directory as well.
pub(crate) const HOSTS: &str = "hosts";

/// Databases of packages, which their own programs read. They say no more than `/usr/share/doc` does.
pub(crate) const DATABASES: [&str; 3] = ["/var/lib/dpkg", "/var/lib/rpm", "/var/lib/pacman/local"];

/// Gives a bottle the snapshot of this moment, and removes those that no bottle has any more.
pub(crate) fn make(bottles: &Store, dir: &RunDir, state: &Planned) -> Result<()> {
    let cache = bottles.sibling(CACHE);
    let own = Own { files: own_files(&state.base.home).into(), links: own_links(&state.spec) };
    let snapshot = Snapshot::take(&cache, &Host::default(), &own)?;
    let link = dir.join(ETC);
    symlink(&snapshot.path, &link).at("create", &link)?;
    // From here on the link keeps it.
    drop(snapshot);
    snapshot::prune(&cache, bottles);
    let hosts = format!("127.0.0.1 localhost {}\n::1 localhost\n", state.base.name);
    write_new(&dir.join(HOSTS), hosts.as_bytes(), 0o644)
}

/// Lists the files that a package brought and somebody changed, which therefore stay out.
pub(crate) fn changed() -> Vec<String> {
    let host = Host::default();
    rule::changed(&host, &rule::survey(&host), &known::Known::read(&host))
}

fn own_files(home: &Home) -> [(&'static str, String); 5] {
    let home = &home.path;
    let passwd = format!(
        "root:x:0:0:root:/root:/usr/sbin/nologin\n{USER}:x:{ID}:{ID}::{home}:/bin/bash\n\
         nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    );
    [
        ("passwd", passwd),
        ("group", format!("root:x:0:\n{USER}:x:{ID}:\nnogroup:x:65534:\n")),
        // The bottle's own is mounted over it.
        (HOSTS, String::new()),
        ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n".to_owned()),
        // Process 1 answers, and looks nothing up.
        ("resolv.conf", "nameserver 127.0.0.1\n".to_owned()),
    ]
}

/// Returns links below `/etc`: the system's authorities, where the bottle has one of its own.
fn own_links(spec: &Spec) -> Vec<(&'static str, String)> {
    if !trust::is_needed(spec) {
        return Vec::new();
    }
    let below = |(place, target): (&'static str, String)| Some((place.strip_prefix("etc/")?, target));
    trust::links(GUARD_DIR).into_iter().filter_map(below).collect()
}

/// Returns the path of something in `/etc` as it is written below it.
fn relative(path: &Path) -> Option<&str> {
    path.strip_prefix("/etc").ok()?.to_str()
}
