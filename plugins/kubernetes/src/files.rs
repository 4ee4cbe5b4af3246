//! The files a bottle gets, and their way into it: one archive, written while it is sent.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bottle_guest::pod::verbs::{Outcome, Side, Verb};
use claude_bottle_kit::restore::{Places, Restored};
use claude_bottle_kit::tree::{self, Baseline, Entry, Options, TarWriter, TreeError};
use claude_bottle_plugin_api::{Call, ErrorExt, Failure, FailureKind, Result};
use sha2::{Digest, Sha256};

use crate::door::Door;
use crate::pod::AGENT_USER;

/// Whose everything is.
pub(crate) const OWNER: (u32, u32) = (AGENT_USER, AGENT_USER);

/// How much is collected before it goes to the pipe.
const BUFFER: usize = 128 * 1024;

/// Something that is to be in the bottle.
enum Item {
    Dir { path: PathBuf, mode: u32 },
    File { path: PathBuf, mode: u32, content: Vec<u8> },
    Tree { source: PathBuf, target: PathBuf, options: Options },
}

/// What an earlier bottle left, laid over the rest.
pub(crate) struct Laid {
    pub(crate) restored: Restored,
    pub(crate) workspace: PathBuf,
    pub(crate) home: PathBuf,
}

/// All that is to be in the bottle, in order.
#[derive(Default)]
pub(crate) struct Files {
    items: Vec<Item>,
    /// The file that tells of what is sent to one directory, and that directory.
    index: Option<(PathBuf, PathBuf)>,
    pub(crate) laid: Option<Laid>,
}

impl Files {
    /// Adds a directory.
    pub(crate) fn dir(&mut self, path: impl AsRef<Path>, mode: u32) {
        self.items.push(Item::Dir { path: path.as_ref().to_owned(), mode });
    }

    /// Adds the directories from below `home` to `path`, this one with it.
    pub(crate) fn dirs(&mut self, home: &Path, path: &Path, mode: u32) {
        let mut above: Vec<_> = path.ancestors().take_while(|path| *path != home).collect();
        above.reverse();
        above.into_iter().filter(|path| path.starts_with(home)).for_each(|path| self.dir(path, mode));
    }

    /// Adds a file.
    pub(crate) fn file(&mut self, path: impl AsRef<Path>, mode: u32, content: impl Into<Vec<u8>>) {
        self.items.push(Item::File { path: path.as_ref().to_owned(), mode, content: content.into() });
    }

    /// Adds a directory of the host with all that is in it.
    pub(crate) fn tree(&mut self, source: &Path, target: impl AsRef<Path>, options: Options) {
        self.items.push(Item::Tree {
            source: source.to_owned(),
            target: target.as_ref().to_owned(),
            options,
        });
    }

    /// Says in the index `file` what is sent to the directory `root` and below.
    pub(crate) fn index(&mut self, file: &Path, root: &str) {
        self.index = Some((file.to_owned(), PathBuf::from(root)));
    }

    /// Sends everything in one pass; tells of the bytes sent now and then. What arrived is what was sent, or it fails.
    pub(crate) fn send(self, call: &Call, door: &Door, progress: impl FnMut(u64)) -> Result<()> {
        let (reader, writer) = io::pipe().failure(FailureKind::Internal, || "cannot make a pipe")?;
        let mut counted = Counted { call, from: reader, progress, bytes: 0, hash: Sha256::new() };
        let (written, put) = std::thread::scope(|scope| {
            let writing = scope.spawn(move || self.write(writer));
            let verb = Verb::Put { path: "/".to_owned() };
            let put = door.ask(Side::Bottle, &verb, Some(&mut counted));
            let (bytes, hash) = (counted.bytes, hex(&std::mem::take(&mut counted.hash).finalize()));
            // The writer ends when nothing reads any more.
            drop(counted);
            (writing.join(), put.map(|outcome| (outcome, bytes, hash)))
        });
        let written = written.map_err(|_| Failure::new(FailureKind::Internal, "cannot write the archive"))?;
        call.check()?;
        match (written, put) {
            // The bottle's refusal is the reason why there was no more writing, so it is the one to tell.
            (Err(TreeError::Write { .. }), Err(failure)) => Err(failure),
            (Err(error), _) => Err(Failure::from(error).context("cannot copy files into the bottle")),
            (Ok(()), Err(failure)) => Err(failure),
            (Ok(()), Ok((Outcome::Moved { bytes, sha256 }, sent, hash)))
                if (bytes, &sha256) == (sent, &hash) =>
            {
                Ok(())
            }
            (Ok(()), Ok(_)) => Err(door.said("not all files have arrived")),
        }
    }

    fn write(self, writer: io::PipeWriter) -> Result<(), TreeError> {
        let mut sink = io::BufWriter::with_capacity(BUFFER, writer);
        self.write_to(&mut sink)?;
        sink.flush().map_err(|source| TreeError::Write { path: PathBuf::new(), source })
    }

    fn write_to(self, sink: &mut dyn Write) -> Result<(), TreeError> {
        let mut writer = TarWriter::new(sink);
        if let Some(laid) = &self.laid {
            laid.restored.cover(&mut writer, &laid.workspace);
        }
        let mut baseline = self.index.as_ref().map(|(file, _)| Baseline::create(file)).transpose()?;
        let below = |path: &Path| {
            let (_, root) = self.index.as_ref()?;
            path.strip_prefix(root).ok().map(Path::to_owned)
        };
        let entry = |mode: u32| Entry { owner: OWNER, mode, mtime: 0 };
        for item in &self.items {
            match item {
                Item::Dir { path, mode } => writer.dir(path, entry(*mode))?,
                Item::File { path, mode, content } => {
                    writer.file(path, entry(*mode), content)?;
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
        if let Some(Laid { restored, workspace, home }) = &self.laid {
            restored.append(&mut writer, Places { workspace, home }, OWNER)?;
        }
        writer.finish()?;
        baseline.map_or(Ok(()), Baseline::finish)
    }
}

/// What is read, counted and hashed on its way.
struct Counted<'a, R, P> {
    call: &'a Call,
    from: R,
    progress: P,
    bytes: u64,
    hash: Sha256,
}

impl<R: Read, P: FnMut(u64)> Read for Counted<'_, R, P> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.call.cancelled() {
            return Err(io::Error::other("it was cancelled"));
        }
        let got = self.from.read(buffer)?;
        self.hash.update(&buffer[..got]);
        self.bytes += got as u64;
        (self.progress)(self.bytes);
        Ok(got)
    }
}

/// Writes bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
