//! Running a program in a container to its end, and reading the engine's framing of its output.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use zeroize::Zeroizing;

use super::{Engine, EngineError, ExecState, Result};

/// A program to start in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ExecSpec {
    pub(crate) command: Vec<String>,
    pub(crate) user: String,
    pub(crate) env: Vec<String>,
    pub(crate) working_dir: Option<String>,
    pub(crate) tty: bool,
    /// Whether it has an open standard input.
    pub(crate) stdin: bool,
}

/// A short program whose streams are held in memory.
#[derive(Default)]
pub(crate) struct Run {
    pub(crate) spec: ExecSpec,
    /// What it reads; may be a secret.
    pub(crate) input: Zeroizing<Vec<u8>>,
}

/// What a short program said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

/// How much of a short program's output is kept.
const KEEP: usize = 64 * 1024;

/// Runs a program, gives it its input, and waits for its end.
pub(crate) async fn run(engine: &impl Engine, container: &str, run: &Run) -> Result<Output> {
    let exec = engine.create_exec(container, &run.spec).await?;
    let mut attached = engine.start_exec(&exec, run.spec.tty).await?;
    let feed = async {
        // A program that ends without reading everything is no failure of ours: its exit code tells.
        if run.spec.stdin && attached.input.write_all(&run.input).await.is_ok() {
            drop(attached.input.shutdown().await);
        }
        Ok::<_, EngineError>(())
    };
    let mut output = Output::default();
    let read = async {
        while let Some((stream, bytes)) = frame(&mut attached.output).await.map_err(EngineError::io)? {
            let kept = if stream == 2 { &mut output.stderr } else { &mut output.stdout };
            let room = KEEP.saturating_sub(kept.len());
            kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
        Ok(())
    };
    tokio::try_join!(feed, read)?;
    output.code = exit_code(engine, &attached.id).await?;
    Ok(output)
}

/// Reads one frame of a stream without a terminal: its stream number and its bytes; `None` at the end.
///
/// <https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach>, "Stream format".
pub(crate) async fn frame(output: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Option<(u8, Vec<u8>)>> {
    let mut head = [0; 8];
    if output.read(&mut head[..1]).await? == 0 {
        return Ok(None);
    }
    output.read_exact(&mut head[1..]).await?;
    let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    output.read_exact(&mut bytes).await?;
    Ok(Some((head[0], bytes)))
}

/// Learns the exit code of a program whose streams have ended.
pub(crate) async fn exit_code(engine: &impl Engine, exec: &str) -> Result<i32> {
    // The engine closes the streams a moment before it notes the end, and offers no event that could not be missed.
    for attempt in 0..200_u64 {
        if let ExecState::Exited(code) = engine.exec_state(exec).await? {
            return Ok(code);
        }
        tokio::time::sleep(Duration::from_millis(attempt.min(50))).await;
    }
    Err(EngineError::NeverEnded)
}
