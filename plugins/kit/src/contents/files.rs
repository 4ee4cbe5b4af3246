//! The files a bottle gets: one uncompressed archive, written while it is sent.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::restore::{Places, Restored};
use crate::tree::{self, Baseline, Entry, Options, TarWriter, TreeError};

/// Something that is to be in the bottle.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Dir { path: PathBuf, mode: u32 },
    File { path: PathBuf, mode: u32, content: Vec<u8> },
    Tree { source: PathBuf, target: PathBuf, options: Options },
}

/// What an earlier bottle left, laid over the rest.
#[derive(Debug)]
struct Laid {
    restored: Restored,
    workspace: PathBuf,
    home: PathBuf,
}

/// Where is said what is sent to one directory.
#[derive(Debug)]
struct Index {
    file: PathBuf,
    root: PathBuf,
}

/// All that is to be in the bottle, in order.
#[derive(Debug)]
pub struct Files {
    owner: (u32, u32),
    items: Vec<Item>,
    index: Option<Index>,
    laid: Option<Laid>,
}

impl Files {
    /// Begins with nothing, for files of this user and group.
    pub fn of(owner: (u32, u32)) -> Self {
        Self { owner, items: Vec::new(), index: None, laid: None }
    }

    /// Returns `true` if there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty() && self.laid.is_none()
    }

    /// Adds a directory.
    pub fn dir(&mut self, path: impl AsRef<Path>, mode: u32) {
        self.items.push(Item::Dir { path: path.as_ref().to_owned(), mode });
    }

    /// Adds the directories from below `home` to `path`, this one with it; none where `path` is elsewhere.
    pub fn dirs(&mut self, home: &Path, path: &Path, mode: u32) {
        let mut above: Vec<_> = path.ancestors().take_while(|path| *path != home).collect();
        above.reverse();
        above.into_iter().filter(|path| path.starts_with(home)).for_each(|path| self.dir(path, mode));
    }

    /// Adds a file.
    pub fn file(&mut self, path: impl AsRef<Path>, mode: u32, content: impl Into<Vec<u8>>) {
        self.items.push(Item::File { path: path.as_ref().to_owned(), mode, content: content.into() });
    }

    /// Adds a directory of the host with all that is in it.
    pub fn tree(&mut self, source: &Path, target: impl AsRef<Path>, options: Options) {
        let target = target.as_ref().to_owned();
        self.items.push(Item::Tree { source: source.to_owned(), target, options });
    }

    /// Records in the index `file` what is sent to the directory `root` and below.
    pub fn index(&mut self, file: &Path, root: &str) {
        self.index = Some(Index { file: file.to_owned(), root: PathBuf::from(root) });
    }

    /// Puts what an earlier bottle left over all other files.
    pub(super) fn lay(&mut self, restored: Restored, workspace: &str, home: &str) {
        self.laid = Some(Laid { restored, workspace: workspace.into(), home: home.into() });
    }

    /// Writes the archive, and the index with it.
    ///
    /// # Errors
    /// Fails when something cannot be read any more, and when the archive cannot be written.
    pub fn write_to(&self, sink: &mut dyn Write) -> Result<(), TreeError> {
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
        let entry = |mode: u32| Entry { owner: self.owner, mode, mtime: 0 };
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
            restored.append(&mut writer, Places { workspace, home }, self.owner)?;
        }
        writer.finish()?;
        baseline.map_or(Ok(()), Baseline::finish)
    }
}
