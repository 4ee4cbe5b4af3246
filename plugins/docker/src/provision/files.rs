//! The files a bottle gets, and their way into it: one uncompressed archive, written while it is sent.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use claude_bottle_kit::restore::{Places, Restored};
use claude_bottle_kit::tree::{self, Baseline, Entry, Options, TarWriter, TreeError};
use claude_bottle_plugin_api::{ErrorExt, FailureKind, Result};
use tokio::sync::mpsc;

use super::Guest;
use crate::error::DockerError;
use crate::plan::USER_IDS;

/// How much is collected before it is handed on.
const CHUNK: usize = 128 * 1024;

/// Something that is to be in the bottle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Dir { path: PathBuf, owner: (u32, u32), mode: u32 },
    File { path: PathBuf, owner: (u32, u32), mode: u32, content: Vec<u8> },
    Tree { source: PathBuf, target: PathBuf, options: Options },
}

/// All that is to be in the bottle, in order.
#[derive(Debug, Default)]
pub(crate) struct Files {
    pub(super) items: Vec<Item>,
    pub(super) index: Option<Index>,
    pub(super) laid: Option<Laid>,
}

/// What an earlier bottle left, laid over the rest.
#[derive(Debug)]
pub(super) struct Laid {
    pub(super) restored: Restored,
    pub(super) workspace: PathBuf,
    pub(super) home: PathBuf,
    pub(super) owner: (u32, u32),
}

/// Where is said what is sent to one directory.
#[derive(Debug)]
pub(super) struct Index {
    file: PathBuf,
    root: PathBuf,
}

impl Files {
    /// Says whether there is nothing to send.
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.laid.is_none()
    }

    /// Adds a directory of the agent's.
    pub(super) fn dir(&mut self, path: impl AsRef<Path>, mode: u32) {
        self.items.push(Item::Dir { path: path.as_ref().to_owned(), owner: USER_IDS, mode });
    }

    /// Adds a file of the agent's.
    pub(super) fn file(&mut self, path: impl AsRef<Path>, mode: u32, content: impl Into<Vec<u8>>) {
        let (path, content) = (path.as_ref().to_owned(), content.into());
        self.items.push(Item::File { path, owner: USER_IDS, mode, content });
    }

    /// Adds a directory of the host with all that is in it.
    pub(super) fn tree(&mut self, source: &Path, target: impl AsRef<Path>, options: Options) {
        let target = target.as_ref().to_owned();
        self.items.push(Item::Tree { source: source.to_owned(), target, options });
    }

    /// Says in the index `file` what is sent to the directory `root` and below.
    pub(super) fn index(&mut self, file: &Path, root: &str) {
        self.index = Some(Index { file: file.to_owned(), root: PathBuf::from(root) });
    }

    /// Gives all of it to the agent's user, where that is not the one of this plug-in's own image.
    pub(super) fn owned_by(mut self, ids: (u32, u32)) -> Self {
        for item in &mut self.items {
            match item {
                Item::Dir { owner, .. } | Item::File { owner, .. } => *owner = ids,
                Item::Tree { options, .. } => options.owner = options.owner.map(|_| ids),
            }
        }
        if let Some(laid) = &mut self.laid {
            laid.owner = ids;
        }
        self
    }

    /// Sends everything in one pass; tells of the bytes sent now and then.
    pub(super) async fn send(self, guest: &impl Guest, mut progress: impl FnMut(u64)) -> Result<()> {
        let (sender, mut chunks) = mpsc::channel(8);
        let writing = tokio::task::spawn_blocking(move || self.write(sender));
        let (forward, body) = mpsc::channel::<io::Result<Bytes>>(1);
        let counted = async {
            let mut sent = 0;
            while let Some(chunk) = chunks.recv().await {
                sent += chunk.as_ref().map_or(0, |bytes: &Bytes| bytes.len() as u64);
                progress(sent);
                if forward.send(chunk).await.is_err() {
                    break;
                }
            }
            drop((chunks, forward));
        };
        let stream = futures_util::stream::unfold(body, |mut body| async move {
            body.recv().await.map(|chunk| (chunk, body))
        });
        let ((), put) = tokio::join!(counted, guest.put(Box::pin(stream)));
        let written = writing.await.failure(FailureKind::Internal, || "cannot write the archive")?;
        match written {
            // The guest's refusal is the reason why there was no more writing, so it is the one to tell.
            Err(TreeError::Write { .. }) if put.is_err() => put,
            Err(source) => Err(DockerError::CopyIn { source }.into()),
            Ok(()) => put,
        }
    }

    fn write(self, sender: mpsc::Sender<io::Result<Bytes>>) -> Result<(), TreeError> {
        let mut sink = Sink { sender, buffer: Vec::with_capacity(CHUNK) };
        let written = self.write_to(&mut sink);
        if let Err(error) = &written {
            // An archive that just ended would be taken for a whole one.
            drop(sink.sender.blocking_send(Err(io::Error::other(error.to_string()))));
        }
        written
    }

    fn write_to(self, sink: &mut dyn Write) -> Result<(), TreeError> {
        let mut writer = TarWriter::new(sink);
        if let Some(laid) = &self.laid {
            laid.restored.cover(&mut writer, &laid.workspace);
        }
        let mut baseline = self.index.as_ref().map(|index| Baseline::create(&index.file)).transpose()?;
        // Where in the indexed directory something goes.
        let below = |path: &Path| {
            let index = self.index.as_ref()?;
            path.strip_prefix(&index.root).ok().map(Path::to_owned)
        };
        for item in &self.items {
            match item {
                Item::Dir { path, owner, mode } => {
                    writer.dir(path, Entry { owner: *owner, mode: *mode, mtime: 0 })?;
                }
                Item::File { path, owner, mode, content } => {
                    writer.file(path, Entry { owner: *owner, mode: *mode, mtime: 0 }, content)?;
                    if let Some((baseline, path)) = baseline.as_mut().zip(below(path)) {
                        baseline.file(&path, *mode, content)?;
                    }
                }
                Item::Tree { source, target, options } => {
                    let place = baseline.as_mut().zip(below(target));
                    let record = place.map(|(baseline, place)| baseline.below(&place));
                    tree::append(&mut writer, source, target, options, record)?;
                }
            }
        }
        if let Some(Laid { restored, workspace, home, owner }) = &self.laid {
            restored.append(&mut writer, Places { workspace, home }, *owner)?;
        }
        writer.finish()?;
        baseline.map_or(Ok(()), Baseline::finish)
    }
}

/// Hands what is written on to the request's body, and waits when that is slow.
struct Sink {
    sender: mpsc::Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK));
        self.sender.blocking_send(Ok(chunk.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
