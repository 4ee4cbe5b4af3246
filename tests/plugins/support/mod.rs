//! What the cases share: directories with plug-ins in them, and ways to make a file bad.

pub(crate) mod build;
pub(crate) mod c;
pub(crate) mod double;
pub(crate) mod skew;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use claude_bottle::plugins::{
    Entry, Identity, Loaded, Pins, PluginError, SearchInputs, SearchPath, Status, registry,
};

/// A directory of plug-ins, alone in its search path.
pub(crate) struct Place {
    dir: tempfile::TempDir,
    pub(crate) identity: Identity,
    pub(crate) pins: Pins,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir, identity: Identity::current(), pins: Pins::default() }
    }

    /// Makes a place with a copy of the fake backend, which is another library to the dynamic linker.
    pub(crate) fn with_fake() -> Self {
        let place = Self::new();
        fs::copy(build::fake(), place.file("fake")).unwrap();
        place
    }

    /// Makes a place whose file for `fake` is the fake backend's, changed.
    pub(crate) fn with_changed_fake(change: impl FnOnce(&mut Vec<u8>)) -> Self {
        let place = Self::new();
        let mut bytes = fs::read(build::fake()).unwrap();
        change(&mut bytes);
        fs::write(place.file("fake"), bytes).unwrap();
        place
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Returns where the plug-in of a backend belongs.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(format!("claude-bottle-backend-{name}.so"))
    }

    pub(crate) fn search(&self) -> SearchPath {
        SearchPath::new(SearchInputs {
            plugin_path: Some(self.path().into()),
            identity: self.identity.clone(),
            ..SearchInputs::default()
        })
    }

    pub(crate) fn load(&self, name: &str) -> Result<Loaded, PluginError> {
        registry::load(&self.search(), &self.pins, name)
    }

    pub(crate) fn list(&self) -> Vec<Entry> {
        registry::list(&self.search(), &self.pins)
    }

    /// Loads what must not load, and checks that the list says the same and that the error names the file.
    ///
    /// Returns the whole error: message, causes, hints.
    #[track_caller]
    pub(crate) fn refused(&self, name: &str, code: &str) -> String {
        let error = self.load(name).unwrap_err();
        assert_eq!(error.code(), code, "{error:?}");
        let text = full_text(&error);
        assert!(text.contains(self.file(name).to_str().unwrap()), "{text}");
        let entry = self.list().into_iter().find(|entry| entry.name == name).unwrap();
        match entry.status {
            Status::Refused { code: listed, .. } => assert_eq!(listed, code),
            Status::Usable => panic!("listed as usable, refused with {code}"),
        }
        text
    }

    /// Loads what only loading shows to be unfit.
    #[track_caller]
    pub(crate) fn fails_to_load(&self, name: &str, code: &str) -> String {
        let error = self.load(name).unwrap_err();
        assert_eq!(error.code(), code, "{error:?}");
        let text = full_text(&error);
        assert!(text.contains(self.file(name).to_str().unwrap()), "{text}");
        text
    }
}

/// Returns an error with its causes and hints, one a line.
pub(crate) fn full_text(error: &PluginError) -> String {
    let chain = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    chain.map(ToString::to_string).chain(error.hints()).collect::<Vec<_>>().join("\n")
}

#[track_caller]
pub(crate) fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Replaces a text by one of the same length, in the only place it is.
#[track_caller]
pub(crate) fn replace_once(bytes: &mut [u8], from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let windows = bytes.windows(from.len()).enumerate();
    let places: Vec<_> = windows.filter(|(_, w)| *w == from.as_bytes()).map(|(at, _)| at).collect();
    let [at] = places[..] else { panic!("`{from}` is there {} times", places.len()) };
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
}
