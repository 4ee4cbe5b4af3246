//! Whether an engine is on this machine, by the process that serves its socket and by what it reports about itself.
//!
//! A socket here may lead elsewhere: into a virtual machine, or by ssh to another host. So three things are compared. The process that
//! serves the socket is in this process namespace; the kernel and the machine's name are those that the engine tells; and where the
//! kernel lets this user look, that process has this one's root directory and network. What is left open by these is found out at the
//! launch: the bottle has to reach the guard over the directory that the engine was told to bind.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tokio::net::UnixStream;

use super::{Address, EngineFacts};

/// What can be seen of the process that serves an engine's socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Server {
    /// Whether it has the root directory of this process; `None` when this user may not see that.
    pub(crate) shares_root: Option<bool>,
    /// Whether it has the network of this process.
    pub(crate) shares_network: Option<bool>,
}

/// Looks at the process that serves an address; `None` when that is not a socket, or one of another process namespace.
pub(super) async fn server(address: &Address) -> Option<Server> {
    let Address::Unix(path) = address else { return None };
    let stream = UnixStream::connect(path).await.ok()?;
    // The kernel reports 0 for a process of another namespace.
    let pid = stream.peer_cred().ok()?.pid().filter(|pid| *pid > 0)?;
    let same = |what: &str| {
        let of = |pid: &str| std::fs::metadata(Path::new("/proc").join(pid).join(what)).ok();
        let (theirs, ours) = (of(&pid.to_string())?, of("self")?);
        Some((theirs.dev(), theirs.ino()) == (ours.dev(), ours.ino()))
    };
    Some(Server { shares_root: same("root"), shares_network: same("ns/net") })
}

/// Returns why a process of this machine may not be reachable from the engine's containers; `None` when it is.
pub(crate) fn distance(server: Option<Server>, facts: &EngineFacts) -> Option<&'static str> {
    let here = rustix::system::uname();
    distance_from(server, facts, (&here.nodename().to_string_lossy(), &here.release().to_string_lossy()))
}

fn distance_from(
    server: Option<Server>,
    facts: &EngineFacts,
    (name, kernel): (&str, &str),
) -> Option<&'static str> {
    let Some(server) = server else { return Some("no process of this machine serves the engine's address") };
    if (facts.name.as_str(), facts.kernel.as_str()) != (name, kernel) {
        return Some("the engine is on another machine");
    }
    if server.shares_root == Some(false) {
        return Some("the engine sees other files than this machine's");
    }
    if server.shares_network == Some(false) || facts.security.iter().any(|option| option.contains("rootless"))
    {
        return Some("the engine has a network of its own");
    }
    None
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    #[test]
    fn an_engine_is_here_only_when_everything_says_so() {
        let facts =
            EngineFacts { name: "host".to_owned(), kernel: "6.1".to_owned(), ..EngineFacts::default() };
        let here = Server { shares_root: Some(true), shares_network: Some(true) };
        let check = |server, facts: &EngineFacts, is_here| {
            assert_eq!(
                distance_from(server, facts, ("host", "6.1")).is_none(),
                is_here,
                "{server:?}, {facts:?}"
            );
        };
        check(Some(here), &facts, true);
        // An ordinary user may not look at root's processes.
        check(Some(Server::default()), &facts, true);
        check(None, &facts, false);
        check(Some(Server { shares_root: Some(false), ..here }), &facts, false);
        check(Some(Server { shares_network: Some(false), ..here }), &facts, false);
        check(Some(here), &EngineFacts { name: "docker-desktop".to_owned(), ..facts.clone() }, false);
        check(Some(here), &EngineFacts { kernel: "6.1-linuxkit".to_owned(), ..facts.clone() }, false);
        check(Some(here), &EngineFacts { security: vec!["name=rootless".to_owned()], ..facts }, false);
    }

    #[tokio::test]
    async fn a_socket_of_this_process_is_served_here_and_a_port_is_not_asked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let _listener = UnixListener::bind(&path).unwrap();
        let here = Server { shares_root: Some(true), shares_network: Some(true) };
        assert_eq!(server(&Address::Unix(path)).await, Some(here));
        assert_eq!(server(&Address::Unix("/nowhere".into())).await, None);
        assert_eq!(server(&Address::Tcp("127.0.0.1:1".to_owned())).await, None);
    }
}
