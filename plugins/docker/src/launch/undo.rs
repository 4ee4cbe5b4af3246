//! What was made and must go again should the launch fail.

use std::sync::{Mutex, PoisonError};

use claude_bottle_plugin_api::{Failure, FailureKind};
use futures_util::future::join_all;

use crate::engine::{Engine, Kind};
use crate::error::DockerError;

/// A stack of things that exist.
#[derive(Default)]
pub(super) struct Undo(Mutex<Vec<(Kind, String)>>);

impl Undo {
    /// Notes that something exists now.
    pub(super) fn push(&self, kind: Kind, id: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((kind, id));
    }

    /// Removes everything, containers before networks, last made first. What cannot be removed is left to the sweep that
    /// follows, which tries it again and tells why not.
    ///
    /// A network may be made after a container that is connected to it later, and goes only without its members.
    pub(super) async fn run(&self, engine: &impl Engine) {
        let mut made = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        // The sort keeps the order among containers and among networks.
        made.sort_by_key(|(kind, _)| *kind == Kind::Container);
        for (kind, id) in made.into_iter().rev() {
            drop(engine.remove(kind, &id).await);
        }
    }
}

/// Removes all that carries these labels, containers before networks before volumes, and goes on after a failure.
pub(crate) async fn sweep(engine: &impl Engine, labels: &[String]) -> Vec<Failure> {
    sweep_but(engine, labels, &[]).await
}

/// Does the same, and leaves alone what has one of these names.
pub(crate) async fn sweep_but(engine: &impl Engine, labels: &[String], kept: &[String]) -> Vec<Failure> {
    let mut failures = Vec::new();
    // Nearly always there is nothing, which three questions at once find out in the time of one.
    let (containers, networks, volumes) = tokio::join!(
        engine.list(Kind::Container, labels),
        engine.list(Kind::Network, labels),
        engine.list(Kind::Volume, labels)
    );
    for (kind, found) in [(Kind::Container, containers), (Kind::Network, networks), (Kind::Volume, volumes)] {
        match found {
            Ok(found) => {
                let found = found.into_iter().filter(|thing| !kept.contains(&thing.name));
                let removals = found.map(|thing| async move {
                    let removed = engine.remove(kind, &thing.id).await;
                    removed.map_err(|source| DockerError::Remove {
                        kind: kind.noun(),
                        name: thing.name,
                        source,
                    })
                });
                let removed = join_all(removals).await;
                failures.extend(removed.into_iter().filter_map(Result::err).map(Failure::from));
            }
            Err(source) => {
                let is_gone = source.kind() == FailureKind::Unreachable;
                let name = labels.first().and_then(|label| label.split_once('=')).map_or("*", |(_, id)| id);
                failures.push(DockerError::ListLeftovers { name: name.to_owned(), source }.into());
                // An engine that is not there would say the same of all else.
                if is_gone {
                    break;
                }
            }
        }
    }
    failures
}
