//! `netns`: a network namespace of its own, which this process makes of a user namespace of its own. It takes no privilege.
//!
//! The user keeps its number. What the new namespaces allow is given up again in [`super::seal`].
//! <https://man7.org/linux/man-pages/man7/user_namespaces.7.html>

use std::fs;
use std::io;
use std::net::Ipv4Addr;

use rustix::process::{DumpableBehavior, getgid, getuid, set_dumpable_behavior};
use rustix::thread::UnshareFlags;

use super::netlink;
use crate::GuestError;
use crate::error::StepExt;
use crate::pod::verbs::Wall;

/// The one interface of a new network namespace, which is always the first.
const LOOPBACK: (&str, i32) = ("lo", 1);

/// Where names are asked for.
const RESOLVER: &str = "/etc/resolv.conf";

/// Makes the namespaces, and looks at what is in them.
pub(super) fn build() -> Result<Wall, GuestError> {
    let (user, group) = (getuid().as_raw(), getgid().as_raw());
    // A program that may not be read is not its user's to describe in `/proc`. It is shut again before anything else runs.
    set_dumpable_behavior(DumpableBehavior::Dumpable).step(|| "open this process to itself")?;
    // A Pod's containers share what programs of System V say to each other.
    let own = UnshareFlags::NEWUSER | UnshareFlags::NEWNET | UnshareFlags::NEWIPC;
    #[expect(deprecated, reason = "its replacement is unsafe because of another flag, FILES")]
    rustix::thread::unshare(own).step(|| "make a network namespace without privilege")?;
    // Without it a group could be given up that takes rights away.
    fs::write("/proc/self/setgroups", "deny").step(|| "keep the groups")?;
    fs::write("/proc/self/uid_map", format!("{user} {user} 1")).step(|| "keep the user's number")?;
    fs::write("/proc/self/gid_map", format!("{group} {group} 1")).step(|| "keep the group's number")?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).step(|| "shut process 1 to tracers")?;
    netlink::bring_up(LOOPBACK.1).step(|| "bring the loopback up")?;
    // A Pod's containers have one list of name servers, which the guard needs. Here process 1 stands in their place.
    for server in name_servers(&fs::read_to_string(RESOLVER).unwrap_or_default()) {
        netlink::add_address(LOOPBACK.1, server).step(|| format!("have the address {server}"))?;
    }
    check(look().step(|| "look at the network")?)
}

/// Says what this process sees of a network.
fn look() -> io::Result<Wall> {
    let interfaces = fs::read_to_string("/proc/self/net/dev")?;
    let routes = fs::read_to_string("/proc/self/net/route")?;
    // A kernel without IPv6 has no such file.
    let routes_6 = fs::read_to_string("/proc/self/net/ipv6_route").unwrap_or_default();
    Ok(Wall {
        wall: "netns".to_owned(),
        interfaces: names(&interfaces),
        routes: elsewhere(&routes, true) + elsewhere(&routes_6, false),
    })
}

fn check(wall: Wall) -> Result<Wall, GuestError> {
    if wall.interfaces == [LOOPBACK.0] && wall.routes == 0 {
        return Ok(wall);
    }
    let found = format!("it has {} and {} routes", wall.interfaces.join(", "), wall.routes);
    Err(io::Error::other(found)).step(|| "have a network namespace with nothing in it")
}

/// Reads names of interfaces: <https://man7.org/linux/man-pages/man5/proc_pid_net.5.html>.
fn names(table: &str) -> Vec<String> {
    table.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim().to_owned()).collect()
}

/// Counts routes that lead over another interface than the loopback: the first word of a line, or the last.
fn elsewhere(table: &str, is_first: bool) -> usize {
    let device = |line: &str| {
        let mut words = line.split_whitespace();
        if is_first { words.next() } else { words.last() }.map(str::to_owned)
    };
    let lines = table.lines().skip(usize::from(is_first));
    lines.filter_map(device).filter(|device| device != LOOPBACK.0).count()
}

/// Reads where names are asked for: <https://man7.org/linux/man-pages/man5/resolv.conf.5.html>. What is on the loopback is there.
fn name_servers(text: &str) -> Vec<Ipv4Addr> {
    let server = |line: &str| line.strip_prefix("nameserver")?.trim().parse::<Ipv4Addr>().ok();
    text.lines().filter_map(server).filter(|server| !server.is_loopback()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_and_routes_are_read() {
        let dev = "Inter-|   Receive\n face |bytes\n    lo: 0 0\n  eth0: 1 2\n";
        assert_eq!(names(dev), ["lo", "eth0"]);
        let routes = "Iface\tDestination\nlo\t0000007F\neth0\t00000000\n";
        assert_eq!(elsewhere(routes, true), 1);
        let routes_6 = "0000 80 0000 00       lo\nfe80 40 0000 00     eth0\n";
        assert_eq!(elsewhere(routes_6, false), 1);
        assert_eq!(elsewhere("", false), 0);
    }

    #[test]
    fn anything_but_the_loopback_is_no_wall() {
        let wall = |interfaces: &[&str], routes| Wall {
            wall: "netns".to_owned(),
            interfaces: interfaces.iter().map(|name| (*name).to_owned()).collect(),
            routes,
        };
        assert!(check(wall(&["lo"], 0)).is_ok());
        for bad in [wall(&[], 0), wall(&["lo", "eth0"], 0), wall(&["eth0"], 0), wall(&["lo"], 1)] {
            assert!(check(bad).is_err());
        }
    }

    #[test]
    fn name_servers_of_the_pod_are_read() {
        let text = "search a.svc b\nnameserver 10.96.0.10\nnameserver 127.0.0.53\nnameserver fd00::a\noptions ndots:5\n";
        assert_eq!(name_servers(text), [Ipv4Addr::new(10, 96, 0, 10)]);
    }
}
