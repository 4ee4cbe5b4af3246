//! Talking to a container's own process: it is given its input once, and heard until it says that it is ready.

use std::io;

use tokio::io::AsyncWriteExt;

use crate::engine::{Attached, frame};

/// How much of what a process says is kept.
const KEEP: usize = 16 * 1024;

/// What a process said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The word that was waited for.
    Word,
    /// Something else, and then nothing more.
    End(String),
}

/// Writes all of `input`, ends it, and listens for `word`.
pub(super) async fn converse(attached: Attached, input: &[u8], word: &str) -> io::Result<Heard> {
    let Attached { mut output, input: mut stdin, .. } = attached;
    let feed = async {
        // A process that ends without reading everything is heard to end.
        if !input.is_empty() && stdin.write_all(input).await.is_ok() {
            drop(stdin.shutdown().await);
        }
        std::future::pending().await
    };
    let hear = async {
        let mut said = String::new();
        while let Some((_, bytes)) = frame(&mut output).await? {
            said.push_str(&String::from_utf8_lossy(&bytes));
            if said.contains(word) {
                return Ok(Heard::Word);
            }
            if said.len() > KEEP {
                let from = said.ceil_char_boundary(said.len() - KEEP / 2);
                said.drain(..from);
            }
        }
        Ok(Heard::End(said))
    };
    tokio::select! {
        heard = hear => heard,
        never = feed => never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attached(said: &[&str]) -> (Attached, tokio::io::DuplexStream) {
        let mut frames = Vec::new();
        for text in said {
            frames.extend([2, 0, 0, 0, 0, 0, 0, u8::try_from(text.len()).unwrap()]);
            frames.extend_from_slice(text.as_bytes());
        }
        let (input, written) = tokio::io::duplex(64);
        let output = Box::new(io::Cursor::new(frames));
        (Attached { id: "c".to_owned(), output, input: Box::new(input) }, written)
    }

    #[tokio::test]
    async fn a_word_in_two_frames_is_heard_and_an_end_is_told() {
        let (streams, _written) = attached(&["starting\nlist", "ening\n"]);
        assert_eq!(converse(streams, b"", "listening").await.unwrap(), Heard::Word);
        let (streams, _written) = attached(&["no such file\n"]);
        let heard = converse(streams, b"", "listening").await.unwrap();
        assert_eq!(heard, Heard::End("no such file\n".to_owned()));
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
        assert_eq!(converse(streams, &input, "ready").await.unwrap(), Heard::Word);
        assert_eq!(other.await.unwrap(), input.len());
    }
}
