//! Talking to a container's own process: it gets its input once, and its output is read until it is ready.

use std::io;

use claude_bottle_kit::Ready;
use tokio::io::{AsyncRead, AsyncWriteExt};

use crate::engine::{Attached, Frames};

/// How much of a process's output is kept, and how much of an incomplete line.
const KEEP: usize = 48 * 1024;

/// The line with which a process is ready, and its stream. Output of an image's own programs is not mistaken for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReadyLine {
    pub(crate) stream: u8,
    pub(crate) ready: Ready,
}

/// What the output of a process came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    /// The line that was waited for.
    Ready(String),
    /// Something else, and then nothing more.
    End(String),
}

/// What a process is given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input<'a> {
    pub(super) bytes: &'a [u8],
    /// Whether that is all. An engine that keeps an input open ends the output of whoever ends it.
    pub(super) ends: bool,
}

/// Writes all of `input`, ends it if that is all, and waits for the ready line.
pub(super) async fn wait_until_ready(
    attached: Attached,
    input: Input<'_>,
    ready_line: &ReadyLine,
) -> io::Result<Readiness> {
    let Attached { output, input: mut stdin, .. } = attached;
    let feed = async {
        // A process that ends without reading everything is heard to end.
        if !input.bytes.is_empty() && stdin.write_all(input.bytes).await.is_ok() {
            drop(if input.ends { stdin.shutdown().await } else { stdin.flush().await });
        }
        std::future::pending().await
    };
    tokio::select! {
        heard = read_until_ready(output, ready_line) => heard,
        never = feed => never,
    }
}

async fn read_until_ready(
    mut output: impl AsyncRead + Unpin,
    ready_line: &ReadyLine,
) -> io::Result<Readiness> {
    let (mut said, mut line, mut frames) = (String::new(), Vec::new(), Frames::default());
    while let Some((stream, bytes)) = frames.piece(&mut output).await? {
        if stream == ready_line.stream
            && let Some(line) = line_in(&mut line, &bytes, &ready_line.ready)
        {
            return Ok(Readiness::Ready(line));
        }
        said.push_str(&String::from_utf8_lossy(&bytes));
        if said.len() > KEEP {
            let from = said.ceil_char_boundary(said.len() - KEEP / 2);
            said.drain(..from);
        }
    }
    Ok(Readiness::End(said))
}

/// Returns the ready line, if one of the lines that these bytes end is it; keeps the beginning of the next one.
fn line_in(line: &mut Vec<u8>, bytes: &[u8], ready: &Ready) -> Option<String> {
    for part in bytes.split_inclusive(|byte| *byte == b'\n') {
        line.extend_from_slice(&part[..part.len().min(KEEP.saturating_sub(line.len()))]);
        if let Some(whole) = line.strip_suffix(b"\n") {
            let whole = String::from_utf8_lossy(whole);
            if ready.is(&whole) {
                return Some(whole.into_owned());
            }
            line.clear();
        } else if part.ends_with(b"\n") {
            // It was cut, so it is not the ready line.
            line.clear();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process that writes these, each on its stream.
    fn attached(said: &[(u8, &str)]) -> (Attached, tokio::io::DuplexStream) {
        let mut frames = Vec::new();
        for (stream, text) in said {
            frames.extend([*stream, 0, 0, 0, 0, 0]);
            frames.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
            frames.extend_from_slice(text.as_bytes());
        }
        let (input, written) = tokio::io::duplex(64);
        let output = Box::new(io::Cursor::new(frames));
        (Attached { id: "c".to_owned(), output, input: Box::new(input) }, written)
    }

    async fn heard(said: &[(u8, &str)], line: &ReadyLine) -> Readiness {
        let (streams, _written) = attached(said);
        wait_until_ready(streams, Input { bytes: b"", ends: true }, line).await.unwrap()
    }

    fn ready() -> ReadyLine {
        ReadyLine { stream: 1, ready: Ready::Line("ready".to_owned()) }
    }

    #[tokio::test]
    async fn a_line_in_two_frames_is_heard_and_an_end_is_told() {
        assert_eq!(
            heard(&[(1, "starting\nrea"), (1, "dy\nmore")], &ready()).await,
            Readiness::Ready("ready".to_owned())
        );
        let end = heard(&[(2, "no such file\n")], &ready()).await;
        assert_eq!(end, Readiness::End("no such file\n".to_owned()));
    }

    #[tokio::test]
    async fn what_only_holds_the_word_is_not_taken_for_it() {
        let long = format!("{}ready\n", " ".repeat(KEEP));
        for said in [
            &[(1, "already\n")][..],
            &[(1, "not ready\n")],
            &[(2, "ready\n")],
            &[(1, &long)],
            &[(1, "ready")],
        ] {
            assert!(matches!(heard(said, &ready()).await, Readiness::End(_)), "{said:?}");
        }
    }

    #[tokio::test]
    async fn an_input_that_is_not_all_is_not_ended() {
        let (mut streams, mut written) = attached(&[]);
        let (mut talk, output) = tokio::io::duplex(64);
        streams.output = Box::new(output);
        let other = async move {
            let mut bytes = [0; 5];
            tokio::io::AsyncReadExt::read_exact(&mut written, &mut bytes).await.unwrap();
            // It would be readable, at its end, if it had been ended.
            let more = tokio::time::timeout(
                std::time::Duration::from_millis(20),
                tokio::io::AsyncReadExt::read(&mut written, &mut bytes),
            );
            assert!(more.await.is_err());
            talk.write_all(&[1, 0, 0, 0, 0, 0, 0, 6]).await.unwrap();
            talk.write_all(b"ready\n").await.unwrap();
        };
        let line = ready();
        let input = Input { bytes: b"input", ends: false };
        let (heard, ()) = tokio::join!(wait_until_ready(streams, input, &line), other);
        assert_eq!(heard.unwrap(), Readiness::Ready("ready".to_owned()));
    }

    #[tokio::test]
    async fn input_larger_than_any_buffer_arrives_and_ends() {
        let (mut streams, mut written) = attached(&[]);
        let (mut talk, output) = tokio::io::duplex(64);
        streams.output = Box::new(output);
        let input = vec![b'x'; 100_000];
        let other = tokio::spawn(async move {
            let mut bytes = Vec::new();
            tokio::io::AsyncReadExt::read_to_end(&mut written, &mut bytes).await.unwrap();
            talk.write_all(&[1, 0, 0, 0, 0, 0, 0, 6]).await.unwrap();
            talk.write_all(b"ready\n").await.unwrap();
            bytes.len()
        });
        assert_eq!(
            wait_until_ready(streams, Input { bytes: &input, ends: true }, &ready()).await.unwrap(),
            Readiness::Ready("ready".to_owned())
        );
        assert_eq!(other.await.unwrap(), input.len());
    }
}
