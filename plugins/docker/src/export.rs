//! halt: the containers end and stay. export: the engine's archives of the agent's container, passed on as they come.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use bytes::{Buf, Bytes};
use claude_bottle_kit::export::{Part, pass, wanted};
use claude_bottle_kit::host_guard::HostGuards;
use claude_bottle_plugin_api::{
    Bottle, Call, ErrorExt, ExportRequest, Exported, Failure, FailureKind, Result,
};
use futures_util::StreamExt;
use tokio::sync::mpsc;

use crate::close;
use crate::engine::{Container, Engine, OutputStream};
use crate::error::DockerError;
use crate::plan::BottleState;
use crate::pruned::{self, StandIn};
use crate::volumes::Places;

/// Ends agent and guard, whose decisions are kept; the containers stay, and the volumes with what is in them.
pub(crate) async fn halt(engine: &impl Engine, guards: &HostGuards, bottle: &Bottle) -> Result<()> {
    let state: BottleState = bottle.state()?;
    if let Some(agent) = find(engine, &state).await?
        && agent.running
    {
        let killed = engine.kill_container(&agent.id).await;
        killed.map_err(|source| DockerError::Halt { name: bottle.name.clone(), source })?;
        if find(engine, &state).await?.is_some_and(|agent| agent.running) {
            let message = format!("the engine does not end bottle `{}`", bottle.name);
            return Err(Failure::new(FailureKind::Timeout, message));
        }
    }
    close::end_guard(engine, guards, &state).await
}

/// Writes what is asked for to the request's stream.
pub(crate) async fn export(
    engine: &impl Engine,
    call: &Call,
    bottle: &Bottle,
    request: &ExportRequest,
) -> Result<Exported> {
    let state: BottleState = bottle.state()?;
    let names = (bottle.name.as_str(), state.id.as_str(), state.state.as_str());
    let mut exported = match find(engine, &state).await? {
        Some(agent) => read(engine, call, names, (&agent.id, &agent.volumes), request).await?,
        None => {
            let stand_in = StandIn::make(engine, &state).await?;
            let volumes = StandIn::volumes(&state);
            let exported = read(engine, call, names, (&stand_in.id, &volumes), request).await;
            stand_in.remove(engine).await.and(exported)?
        }
    };
    exported.start = Some(state.workspace);
    Ok(exported)
}

/// Reads the volumes of a run out of a container that has them.
async fn read(
    engine: &impl Engine,
    call: &Call,
    (name, run, state): (&str, &str, &str),
    (container, volumes): (&str, &BTreeMap<String, String>),
    request: &ExportRequest,
) -> Result<Exported> {
    let Some(places) = Places::find(volumes, run, state) else {
        let message = format!("the bottle `{name}` has no volume with a working directory");
        return Err(Failure::new(FailureKind::Unsupported, message));
    };
    let wanted = wanted(request, &places.workspace, &places.home)?;
    let (sender, parts) = mpsc::channel(1);
    let (call, request) = (call.clone(), request.clone());
    // What writes waits for a reader, on a thread that may.
    let writing = tokio::task::spawn_blocking(move || {
        let mut parts = parts;
        pass(&call, &request, std::iter::from_fn(|| parts.blocking_recv()))
    });
    for (path, place) in wanted {
        match open(engine, container, &path).await {
            Ok(None) => {}
            Ok(Some(stream)) => {
                let (chunks, content) = mpsc::channel(1);
                if sender.send(Ok(Part { content: Chunks::new(content), place })).await.is_err() {
                    break;
                }
                forward(stream, chunks).await;
            }
            Err(error) => drop(sender.send(Err(error.into())).await),
        }
    }
    drop(sender);
    writing.await.failure(FailureKind::Internal, || "cannot write the archive")?
}

/// Finds the agent's container; `None` if it was removed and its volumes were not.
async fn find(engine: &impl Engine, state: &BottleState) -> Result<Option<Container>, DockerError> {
    match engine.inspect_container(&state.agent).await {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() && pruned::remains(engine, state).await? => Ok(None),
        Err(source) => Err(DockerError::InspectContainer { name: state.names.agent.clone(), source }),
    }
}

/// Opens the archive of a path; `None` when it is not there.
async fn open(
    engine: &impl Engine,
    container: &str,
    path: &Path,
) -> Result<Option<OutputStream>, DockerError> {
    match engine.archive(container, &path.to_string_lossy()).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(source) => Err(DockerError::ReadArchive { source }),
    }
}

/// Hands an archive on, piece by piece. It ends when the receiver is gone, and with it the engine's request.
async fn forward(mut stream: OutputStream, chunks: mpsc::Sender<io::Result<Bytes>>) {
    while let Some(chunk) = stream.next().await {
        if chunks.send(chunk.map_err(io::Error::other)).await.is_err() {
            return;
        }
    }
}

/// The pieces of an archive, for a thread that may wait.
struct Chunks {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl Chunks {
    fn new(receiver: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        Self { receiver, piece: Bytes::new() }
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                None => return Ok(0),
                Some(piece) => self.piece = piece?,
            }
        }
        let n = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..n]);
        Ok(n)
    }
}
