//! The proof at launch that a bottle is walled in, before anything of the agent's is in it.
//!
//! Process 1 tells what it finds, and tries places that the guard can reach: those that answer the guard must not answer the agent. The guard opens a
//! port of its own for it, so that there is one such place on every cluster.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use bottle_guest::pod::client::Said;
use bottle_guest::pod::verbs::{Outcome, Seen, Side, Verb};
use claude_bottle_kit::poll::timespec;
use claude_bottle_plugin_api::Result;
use rustix::event::{PollFd, PollFlags, poll};

use crate::cluster::Cluster;
use crate::door::Door;
use crate::error::KubernetesError;
use crate::wall::Wall;

/// How often it is looked whether process 1 will still come.
const LOOK: Duration = Duration::from_millis(1500);

/// Fails unless the wall stands.
///
/// `look` fails when process 1 will not come, and is asked again and again until it has.
pub(crate) fn prove(
    door: &Door,
    cluster: &Cluster,
    (name, wall): (&str, Wall),
    look: impl Fn() -> Result<()>,
) -> Result<()> {
    let refuse = |what: String| KubernetesError::NoWall { name: name.to_owned(), what };
    let Outcome::Wall(found) = first_answer(door, &Verb::Wall, look)? else {
        return Err(door.unexpected("wall"));
    };
    if found.wall != wall.name() {
        return Err(refuse(format!("it has `{}` in place of `{}`", found.wall, wall.name())).into());
    }
    if wall == Wall::Netns && (found.interfaces != ["lo"] || found.routes != 0) {
        let interfaces = found.interfaces.join(", ");
        return Err(refuse(format!("it has the interfaces {interfaces}, and {} routes", found.routes)).into());
    }
    let proving = door.call(Side::Guard, &Verb::Prove { targets: targets(cluster) })?;
    let Said::Out(seen) = proving.next().map_err(|error| door.failure(&error))? else {
        return Err(door.unexpected("prove"));
    };
    let seen: Vec<Seen> = serde_json::from_slice(&seen).map_err(|_| door.unexpected("prove"))?;
    let answering: Vec<SocketAddr> =
        seen.iter().filter(|seen| seen.answers).map(|seen| seen.target).collect();
    if answering.is_empty() {
        // Then nothing would be proved.
        return Err(refuse("the guard reaches nothing that could be tried".to_owned()).into());
    }
    let Outcome::Tried(tried) = door.ask(Side::Bottle, &Verb::Try { targets: answering.clone() }, None)?
    else {
        return Err(door.unexpected("try"));
    };
    proving.end().map_err(|error| door.failure(&error))?;
    if let Some(reached) = tried.iter().find(|tried| tried.error.is_none()) {
        return Err(refuse(format!("the agent reaches {}", reached.target)).into());
    }
    match answering.iter().all(|target| tried.iter().any(|tried| tried.target == *target)) {
        true => Ok(()),
        false => Err(door.unexpected("try")),
    }
}

/// Waits for process 1, and for its answer.
fn first_answer(door: &Door, verb: &Verb, look: impl Fn() -> Result<()>) -> Result<Outcome> {
    let channel = door.call(Side::Bottle, verb)?;
    loop {
        match channel.heard().map_err(|error| door.failure(&error))? {
            Some(Said::Result(Outcome::Failed { message })) => return Err(door.said(&message)),
            Some(Said::Result(outcome)) => return Ok(outcome),
            Some(_) => {}
            None => {
                let wake = channel.wake();
                let mut waiting = [PollFd::new(&wake, PollFlags::IN)];
                if poll(&mut waiting, Some(&timespec(LOOK))).unwrap_or(0) == 0 {
                    look()?;
                }
                channel.clear_wake();
            }
        }
    }
}

/// Returns the addresses of the API server, as this machine knows them.
fn targets(cluster: &Cluster) -> Vec<SocketAddr> {
    let (host, port) = &cluster.server;
    (host.as_str(), *port).to_socket_addrs().map(Iterator::collect).unwrap_or_default()
}
