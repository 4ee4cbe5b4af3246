//! The arguments of one `bwrap`.

use std::path::{Path, PathBuf};

use claude_bottle_plugin_api::Result;

use super::stage::SOURCES;
use super::{Bwrap, GUEST, word};

/// Collects the arguments of one `bwrap`.
pub struct Arguments {
    list: Vec<String>,
    sources: Option<Vec<PathBuf>>,
}

impl Arguments {
    /// Starts with the arguments that every `bwrap` gets.
    pub fn new(bwrap: &Bwrap) -> Self {
        Self::with(bwrap.run_as_uid.is_some(), bwrap.can_disable_userns)
    }

    /// Begins with it for root, which is given up, or for another user.
    pub(super) fn with(is_root: bool, can_disable_userns: bool) -> Self {
        let mut arguments = Self { list: Vec::new(), sources: is_root.then(Vec::new) };
        // Each by itself: `--unshare-all` goes on without a namespace it cannot have.
        for namespace in ["user", "pid", "ipc", "uts", "cgroup"] {
            arguments.add([&format!("--unshare-{namespace}")]);
        }
        if can_disable_userns {
            arguments.add(["--disable-userns"]);
        }
        arguments.add(["--uid", "1000", "--gid", "1000", "--cap-drop", "ALL", "--clearenv"]);
        arguments.add(["--die-with-parent", "--as-pid-1", "--new-session"]);
        arguments
    }

    /// Adds these words.
    pub fn add<'a>(&mut self, words: impl IntoIterator<Item = impl AsRef<str> + 'a>) {
        self.list.extend(words.into_iter().map(|word| word.as_ref().to_owned()));
    }

    /// Ends with a helper that is process 1 of its sandbox; it starts only while the outer `bwrap` is there.
    ///
    /// # Errors
    /// Fails for a path that is not UTF-8.
    pub fn helper<'a>(&mut self, bwrap: &Bwrap, words: impl IntoIterator<Item = &'a str>) -> Result<()> {
        self.bind("--ro-bind", &bwrap.guest, GUEST)?;
        self.add(["--remount-ro", "/", "--chdir", "/", "--", GUEST, "inside"]);
        self.add(words);
        Ok(())
    }

    /// Returns the arguments, and for root the host's paths in them.
    pub(super) fn take(self) -> (Vec<String>, Option<Vec<PathBuf>>) {
        (self.list, self.sources)
    }

    /// Binds something of the host.
    ///
    /// # Errors
    /// Fails for a path that is not UTF-8.
    pub fn bind(&mut self, how: &str, source: &Path, target: &str) -> Result<()> {
        let source = match &mut self.sources {
            None => word(source)?,
            // The user that root becomes may not reach every path that root can: the stage mounts it where that user can.
            Some(sources) => {
                sources.push(source.to_owned());
                format!("{SOURCES}/{}", sources.len() - 1)
            }
        };
        self.add([how, &source, target]);
        Ok(())
    }
}
