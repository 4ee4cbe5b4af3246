//! reload: another policy for the guard, or another value for a secret that it holds. A sidecar reads it from its standard input and answers on its standard error.

use claude_bottle_kit::host_guard::HostGuards;
use claude_bottle_kit::{GUARD_PATIENCE, GuardChange, unanswered};
use claude_bottle_plugin_api::{Bottle, Call, Failure, FailureKind, ReloadRequest, Reloaded, Result};
use tokio::io::AsyncWriteExt;

use crate::active;
use crate::engine::{Attached, Engine, EngineError, Found, Frames, Kind};
use crate::error::DockerError;
use crate::names::PREFIX;
use crate::plan::{BottleState, role};
use claude_bottle_engine::unless_cancelled;

/// The stream on which the guard answers.
const STDERR: u8 = 2;
/// The longest line that is looked at; an answer is far below it.
const MOST_BYTES: usize = 64 * 1024;

/// Gives the bottle's guard another policy or secret.
pub(crate) async fn reload(
    engine: &impl Engine,
    guards: &HostGuards,
    call: &Call,
    bottle: &Bottle,
    request: &ReloadRequest,
) -> Result<Reloaded> {
    call.check()?;
    let state: BottleState = bottle.state()?;
    if guards.has(&state.id) {
        return guards.reload(call, &state.id, &bottle.name, request);
    }
    let change = GuardChange::new(call, request)?;
    let sidecar = find(engine, &state, &bottle.name).await?;
    let failed = |source| DockerError::ReloadGuard { name: sidecar.name.clone(), source };
    let exchange = async {
        let attached = engine.attach(&sidecar.id, true).await.map_err(failed)?;
        match tokio::time::timeout(GUARD_PATIENCE, tell(attached, &change)).await {
            Ok(answer) => answer.map_err(|source| failed(EngineError::Io { source }))?,
            Err(_) => Err(unanswered()),
        }
    };
    unless_cancelled(call, exchange).await
}

/// Returns the sidecar of a bottle that runs, if it is a guard.
async fn find(engine: &impl Engine, state: &BottleState, name: &str) -> Result<Found> {
    let found = engine.list(Kind::Container, &state.part(role::SIDECAR)).await;
    let found = found.map_err(|source| DockerError::ListLeftovers { name: name.to_owned(), source })?;
    let running =
        |found: &Found| active::state(&found.state) == claude_bottle_plugin_api::BottleState::Running;
    let Some(sidecar) = found.into_iter().find(running) else {
        return Err(Failure::new(
            FailureKind::NotFound,
            format!("the bottle `{name}` does not run any more"),
        ));
    };
    if sidecar.name.starts_with(&format!("{PREFIX}pipelock-")) {
        let message = "pipelock takes no other policy while it runs";
        return Err(Failure::new(FailureKind::Unsupported, message).hint("start the bottle again"));
    }
    Ok(sidecar)
}

/// Writes the line, and listens for the answer to it.
async fn tell(attached: Attached, change: &GuardChange) -> std::io::Result<Result<Reloaded>> {
    let Attached { mut output, mut input, .. } = attached;
    // An incomplete line of another process is ended first; the guard refuses it.
    input.write_all(b"\n").await?;
    input.write_all(change.line()).await?;
    input.flush().await?;
    let (mut frames, mut line) = (Frames::default(), Vec::new());
    while let Some((stream, bytes)) = frames.piece(&mut output).await? {
        for part in bytes.split_inclusive(|byte| *byte == b'\n').filter(|_| stream == STDERR) {
            line.extend_from_slice(&part[..part.len().min(MOST_BYTES.saturating_sub(line.len()))]);
            if !part.ends_with(b"\n") {
                continue;
            }
            if let Some(answer) = change.answer(&line) {
                return Ok(answer);
            }
            line.clear();
        }
    }
    Ok(Err(unanswered()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::io::{AsyncBufReadExt, BufReader};

    use super::*;

    fn frame(stream: u8, text: &str) -> Vec<u8> {
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        [&[stream, 0, 0, 0][..], &length, text.as_bytes()].concat()
    }

    /// Sends a change to a guard that writes these lines, with the request's name for `NAME`.
    async fn told(said: &[(u8, &str)]) -> Result<Reloaded> {
        let request = ReloadRequest::new(json!({ "rules": [] }));
        let change = GuardChange::new(&Call::detached(), &request).unwrap();
        let ((input, written), (mut says, output)) = (tokio::io::duplex(64), tokio::io::duplex(64));
        let attached = Attached { id: "c".to_owned(), output: Box::new(output), input: Box::new(input) };
        let guard = async move {
            let mut lines = BufReader::new(written).lines();
            assert_eq!(lines.next_line().await.unwrap().unwrap(), "");
            let line = lines.next_line().await.unwrap().unwrap();
            let name = serde_json::from_str::<serde_json::Value>(&line).unwrap()["reload"].clone();
            for (stream, text) in said {
                let text = text.replace("NAME", name.as_str().unwrap());
                says.write_all(&frame(*stream, &text)).await.unwrap();
            }
        };
        let (answer, ()) = tokio::join!(tell(attached, &change), guard);
        answer.unwrap()
    }

    #[tokio::test]
    async fn the_answer_is_heard_among_other_lines_and_in_pieces() {
        let answer = r#"{"event":"reloaded","reload":"NAME"}"#;
        let (first, rest) = answer.split_at(9);
        let whole = [(1, "{\"event\":\"request\"}\n"), (2, "other\n"), (2, first), (2, rest), (2, "\n")];
        assert_eq!(told(&whole).await.unwrap(), Reloaded::applied());
        let line = format!("{answer}\n");
        // On the stream of decisions it is not the guard's answer.
        let failure = told(&[(1, &line)]).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Unreachable, "{failure}");
        let refused =
            told(&[(2, "{\"event\":\"reload_failed\",\"reload\":\"NAME\",\"error\":\"no\"}\n")]).await;
        assert_eq!(refused.unwrap_err().kind, FailureKind::Invalid);
    }
}
