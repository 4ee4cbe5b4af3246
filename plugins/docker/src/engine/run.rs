//! Running a program in a container to its end, and reading the engine's framing of its output.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use zeroize::Zeroizing;

use super::{Engine, EngineError, ExecState, Result};

/// A program to start in a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ExecSpec {
    pub(crate) command: Vec<String>,
    /// The user; that of the container when it is empty.
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

/// The output of a short program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

/// How often, and how long each time, the engine is asked whether a container has ended.
const END: (u32, Duration) = (40, Duration::from_millis(50));
/// How much of a short program's output is kept.
const KEEP: usize = 64 * 1024;

/// Runs a program, gives it its input, and waits for its end.
pub(crate) async fn run(engine: &impl Engine, container: &str, run: &Run) -> Result<Output> {
    let exec = engine.create_exec(container, &run.spec).await?;
    let mut attached = engine.start_exec(&exec, run.spec.tty).await?;
    let feed = async {
        // A program may end without reading everything. That is not a failure: its exit code counts.
        if run.spec.stdin && attached.input.write_all(&run.input).await.is_ok() {
            drop(attached.input.shutdown().await);
        }
        Ok::<_, EngineError>(())
    };
    let mut output = Output::default();
    let read = async {
        let mut frames = Frames::default();
        while let Some((stream, bytes)) = frames.piece(&mut attached.output).await.map_err(EngineError::io)? {
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

/// The most that is read of a frame at once. Its length comes from the engine, and may be 4 GiB.
const PIECE: u32 = 64 * 1024;

/// Reads a stream without a terminal, in which each frame says how long it is.
///
/// <https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach>, "Stream format".
#[derive(Debug, Default)]
pub(crate) struct Frames {
    stream: u8,
    /// How much of the frame is still to come.
    left: u32,
}

impl Frames {
    /// Reads what is there of the frame, or of the next one: its stream's number and bytes; `None` at the end.
    pub(crate) async fn piece(
        &mut self,
        output: &mut (impl AsyncRead + Unpin),
    ) -> std::io::Result<Option<(u8, Vec<u8>)>> {
        while self.left == 0 {
            let mut head = [0; 8];
            if output.read(&mut head[..1]).await? == 0 {
                return Ok(None);
            }
            output.read_exact(&mut head[1..]).await?;
            self.stream = head[0];
            self.left = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        }
        let mut bytes = vec![0; self.left.min(PIECE) as usize];
        let read = output.read(&mut bytes).await?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        bytes.truncate(read);
        // No more was asked for than is left.
        self.left -= read as u32;
        Ok(Some((self.stream, bytes)))
    }
}

/// Returns the exit code of a program whose streams have ended.
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

/// Returns the exit code of a container that has ended, or does so within seconds: the engine learns of it later than of the
/// end of its streams, and of the lack of memory that was the reason in between.
pub(crate) async fn container_exit_code(engine: &impl Engine, container: &str) -> Option<i64> {
    let (tries, pause) = END;
    for _ in 0..tries {
        let found = engine.inspect_container(container).await.ok()?;
        if !found.running {
            return Some(found.exit_code);
        }
        tokio::time::sleep(pause).await;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frame_of_any_length_is_read_in_pieces_as_it_comes() {
        let (mut engine, mut output) = tokio::io::duplex(1024);
        engine.write_all(&[2, 0, 0, 0, 0, 0, 0, 0]).await.unwrap();
        engine.write_all(&[1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, b'a', b'b']).await.unwrap();
        let mut frames = Frames::default();
        // The rest of the four gibibytes is not waited for, and no room is made for it.
        let (stream, bytes) = frames.piece(&mut output).await.unwrap().unwrap();
        assert_eq!((stream, bytes.as_slice()), (1, &b"ab"[..]));
        assert!(bytes.capacity() <= PIECE as usize);
        drop(engine);
        let cut_off = frames.piece(&mut output).await.unwrap_err();
        assert_eq!(cut_off.kind(), std::io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn frames_follow_each_other_to_the_end() {
        let mut output = &[1, 0, 0, 0, 0, 0, 0, 1, b'a', 2, 0, 0, 0, 0, 0, 0, 2, b'b', b'c'][..];
        let mut frames = Frames::default();
        assert_eq!(frames.piece(&mut output).await.unwrap(), Some((1, b"a".to_vec())));
        assert_eq!(frames.piece(&mut output).await.unwrap(), Some((2, b"bc".to_vec())));
        assert_eq!(frames.piece(&mut output).await.unwrap(), None);
    }
}
