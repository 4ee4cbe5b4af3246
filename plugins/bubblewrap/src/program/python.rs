//! What a Python environment needs beyond its own directory: the Python it was made with, and what was added by path.

use std::fs;
use std::path::{Path, PathBuf};

/// Returns the program of the Python that an environment was made with.
/// <https://docs.python.org/3/library/site.html>: `home` in `pyvenv.cfg` is that program's directory.
pub(super) fn bases(venv: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(venv.join("pyvenv.cfg")).unwrap_or_default();
    let value = |key: &str| {
        let entries = text.lines().filter_map(|line| line.split_once('='));
        entries.into_iter().find(|(name, _)| name.trim() == key).map(|(_, value)| PathBuf::from(value.trim()))
    };
    let own = ["python", "python3"].map(|name| venv.join("bin").join(name));
    let base = value("home").map(|home| home.join("python3"));
    own.into_iter().chain(base).chain(value("executable")).filter(|path| path.exists()).collect()
}

/// Returns the directories that `.pth` files add: those of packages that are developed in place, and of pipx.
pub(super) fn added(prefix: &Path) -> Vec<PathBuf> {
    let files =
        site_packages(prefix).into_iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten().flatten();
    let files =
        files.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "pth"));
    let lines = files.filter_map(|file| fs::read_to_string(file).ok());
    let paths = lines.flat_map(|text| text.lines().map(PathBuf::from).collect::<Vec<_>>());
    paths.filter(|path| path.is_absolute() && path.is_dir()).collect()
}

/// Returns `lib/pythonX.Y/site-packages` of a prefix.
pub(super) fn site_packages(prefix: &Path) -> Vec<PathBuf> {
    let versions = fs::read_dir(prefix.join("lib")).into_iter().flatten().flatten();
    let versions = versions.filter(|entry| entry.file_name().to_string_lossy().starts_with("python"));
    versions.map(|entry| entry.path().join("site-packages")).filter(|path| path.is_dir()).collect()
}
