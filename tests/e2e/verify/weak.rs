//! The ways in which a bottle is weakened, one for each row.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::engine::Between;
use crate::support::backend::Backend;
use crate::support::home::Home;

/// What a secret's value is in a bottle that is weakened to show it.
const CANARY: &str = "cbv0123456789abcdef0123456789abcdef";

/// Rows that no weakened bottle is for, and why: what a process may start on bubblewrap is limited twice, by a control group and by
/// a limit that the guest program sets on itself.
pub(super) const NOT_WEAKENED: [(Backend, &str); 1] = [(Backend::Bubblewrap, "limit-processes")];

/// Rows whose weakened bottle is not even started, and what is said of it: with another `/proc` than its own the ports of its loopback
/// cannot be opened.
pub(super) const REFUSED: [(Backend, &str, &str); 1] =
    [(Backend::Bubblewrap, "processes", "cannot open the low ports of the bottle's loopback")];

/// A way to weaken a bottle.
pub(super) struct Weakness {
    /// The row that is about it.
    pub(super) row: &'static str,
    /// What the manifest allows.
    pub(super) allowed: &'static str,
    /// What is changed of the bottle.
    pub(super) change: Change,
    /// Rows that fail as well.
    pub(super) also: &'static [&'static str],
}

/// What is changed of a bottle.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing: the manifest itself is lax.
    Nothing,
    /// It has a file of this machine with this text at a place of its own, and may write it.
    File { at: &'static str, text: &'static str },
    /// It has a directory of this machine at a place of its own, and may write there.
    Directory { at: &'static str },
    /// It has the directory of this machine's temporary files.
    Temporary,
    /// It has a socket at which this machine listens.
    Socket,
    /// It has the network of this machine, or of the engine.
    Network,
    /// It keeps what it could have of capabilities.
    Powers,
    /// It has no call filter.
    Calls,
    /// It sees the processes of this machine.
    Processes,
    /// It may take any memory.
    Memory,
    /// It may start any number of processes.
    Count,
}

/// Returns all of them that there are on a backend.
pub(super) fn all(backend: Backend) -> Vec<Weakness> {
    let weakness = |row, change| Weakness { row, allowed: "api.test", change, also: &[] };
    let file = |row, at, text| weakness(row, Change::File { at, text });
    let users = "root:x:0:0::/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/bash\n";
    let mut all = vec![
        weakness("powers", Change::Powers),
        weakness("processes", Change::Processes),
        Weakness { also: &["powers"], ..weakness("calls", Change::Calls) },
        weakness("direct", Change::Network),
        // Refused by no rule, it fails on its way.
        Weakness { allowed: "\"*.verify.invalid\"", also: &["names"], ..weakness("proxy", Change::Nothing) },
        Weakness { also: &["written"], ..file("names", "/etc/resolv.conf", "nameserver 192.0.2.53\n") },
        weakness("sockets", Change::Socket),
        weakness("files", Change::Temporary),
        file("written", "/etc/passwd", users),
        weakness("trust", Change::Directory { at: "/etc/ssl/certs" }),
        file("secrets", "/run/leak", CANARY),
        weakness("limit-processes", Change::Count),
        weakness("limit-memory", Change::Memory),
    ];
    all.retain(|weakness| !NOT_WEAKENED.contains(&(backend, weakness.row)));
    all
}

/// What weakens a bottle while it lives.
pub(super) struct Weak {
    backend: Backend,
    is_secret_known: bool,
    dir: TempDir,
    between: Option<Between>,
    _listener: UnixListener,
}

impl Weak {
    pub(super) fn new(backend: Backend, agent: &str, change: Change) -> Self {
        // Not below /tmp, which is covered where root gives itself up.
        let owned = tempfile::Builder::new().prefix("weak-").tempdir_in("/var/tmp").unwrap();
        let dir = owned.path();
        fs::create_dir(dir.join("tmp")).unwrap();
        fs::copy(guest(), dir.join("bottle-guest")).unwrap();
        let (file, shared) = (dir.join("planted"), dir.join("shared"));
        fs::create_dir(&shared).unwrap();
        fs::set_permissions(&shared, fs::Permissions::from_mode(0o777)).unwrap();
        if let Change::File { text, .. } = change {
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        }
        // Whoever the bottle's user is on this machine.
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
        let socket = dir.join("host.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let place = |source: &Path, target: &str| (source.display().to_string(), target.to_owned());
        let bound = match change {
            Change::File { at, .. } => Some(place(&file, at)),
            Change::Directory { at } => Some(place(&shared, at)),
            Change::Temporary => Some(place(&dir.join("tmp"), dir.join("tmp").to_str().unwrap())),
            Change::Socket => Some(place(&socket, "/run/host.sock")),
            _ => None,
        };
        let mut between = None;
        match backend {
            Backend::Bubblewrap => {
                script(&dir.join("weak-bwrap"), &bwrap_script(dir, change, bound));
                script(&dir.join("weak-guest"), &guest_script(dir, change));
            }
            Backend::Docker | Backend::Podman | Backend::Kubernetes => {
                let edit = move |body: &mut Value| edit(body, change, bound.as_ref());
                let leads_out = change == Change::Network;
                between = Some(Between::start(&dir.join("engine.sock"), agent, leads_out, edit));
            }
        }
        let is_secret_known = matches!(change, Change::File { text: CANARY, .. });
        Self { backend, is_secret_known, dir: owned, between, _listener: listener }
    }

    pub(super) fn command(&self, home: &Home, arguments: &[&str]) -> Command {
        let (mut command, dir) = (self.backend.command(home, arguments), self.dir.path());
        command.env("TMPDIR", dir.join("tmp"));
        if let Some(between) = &self.between {
            command.env("DOCKER_HOST", format!("unix://{}", between.socket.display()));
        } else {
            command.env("CLAUDE_BOTTLE_BWRAP", dir.join("weak-bwrap"));
            command.env("CLAUDE_BOTTLE_GUEST", dir.join("weak-guest"));
        }
        if self.is_secret_known {
            command.env("CLAUDE_BOTTLE_TEST_CANARY", CANARY);
        }
        command
    }

    /// Lists what is left in the directory of temporary files.
    pub(super) fn left(&self) -> Vec<String> {
        let left = fs::read_dir(self.dir.path().join("tmp")).unwrap();
        left.map(|entry| entry.unwrap().path().display().to_string()).collect()
    }
}

/// Changes what the engine is asked to make.
fn edit(body: &mut Value, change: Change, bound: Option<&(String, String)>) {
    let host = &mut body["HostConfig"];
    if let Some((source, target)) = bound {
        let mut binds = host["Binds"].as_array().cloned().unwrap_or_default();
        binds.push(format!("{source}:{target}").into());
        host["Binds"] = binds.into();
    }
    let without = |options: &Value, what: &str| -> Value {
        let all = options.as_array().cloned().unwrap_or_default();
        all.into_iter().filter(|option| !option.as_str().unwrap().starts_with(what)).collect()
    };
    match change {
        Change::Powers => {
            host["CapDrop"] = json!([]);
            host["SecurityOpt"] = without(&host["SecurityOpt"], "no-new-privileges");
        }
        Change::Calls => {
            let mut options = without(&host["SecurityOpt"], "seccomp=");
            options.as_array_mut().unwrap().push("seccomp=unconfined".into());
            host["SecurityOpt"] = options;
        }
        Change::Processes => host["PidMode"] = "host".into(),
        Change::Memory => {
            host["Memory"] = 0.into();
            host["MemorySwap"] = 0.into();
        }
        Change::Count => host["PidsLimit"] = 0.into(),
        _ => {}
    }
}

/// Returns a script that becomes `bwrap`, for the agent's sandbox with other arguments.
fn bwrap_script(dir: &Path, change: Change, bound: Option<(String, String)>) -> String {
    let more =
        bound.map(|(source, target)| format!("new+=(--bind '{source}' '{target}')")).unwrap_or_default();
    let cases = match change {
        Change::Network => "--unshare-net) shift; continue;;",
        Change::Powers => "--cap-drop) new+=(--cap-add CAP_NET_RAW); shift 2; continue;;",
        Change::Calls => "--add-seccomp-fd) shift 2; continue;;",
        Change::Processes => {
            "--unshare-pid|--as-pid-1) shift; continue;; --proc) new+=(--ro-bind /proc /proc); shift 2; continue;;"
        }
        _ => "",
    };
    let guest = dir.join("bottle-guest").display().to_string();
    format!(
        "#!/bin/bash
case \" $* \" in *' --hostname '*) is_agent=yes;; *) is_agent=;; esac
new=()
while [ $# -gt 0 ]; do
  # The real program, in place of the script that stands for it outside.
  [ \"$1 $3\" = '--ro-bind /run/claude-bottle/bottle-guest' ] && {{ new+=(--ro-bind {guest} \"$3\"); shift 3; continue; }}
  [ $is_agent ] && case \"$1\" in
    {cases}
    --remount-ro) [ \"$2\" = / ] && {{ {more}
    :; }};;
  esac
  new+=(\"$1\"); shift
done
exec /usr/bin/bwrap \"${{new[@]}}\"
"
    )
}

/// Returns a script that becomes the guest program; without limits, it enters no control group.
fn guest_script(dir: &Path, change: Change) -> String {
    let guest = dir.join("bottle-guest").display().to_string();
    let outer = if change == Change::Memory { "[ \"$1\" = outer ] && set -- outer \"$2\"" } else { "" };
    format!("#!/bin/bash\n{outer}\nexec {guest} \"$@\"\n")
}

fn guest() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/libexec/claude-bottle/bottle-guest")
}

fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
