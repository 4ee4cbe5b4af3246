//! Versions of plugin-api that do not exist: copies of today's, changed in named places.

use std::fs;
use std::path::{Path, PathBuf};

use super::build;

/// A change of a file of plugin-api: in `file`, `from` (which is there once) becomes `to`.
#[derive(Clone, Copy)]
pub(crate) struct Edit {
    pub(crate) file: &'static str,
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
}

/// A workspace with a changed plugin-api and crates built against it.
pub(crate) struct Generation {
    directory: PathBuf,
}

impl Generation {
    /// Makes or refreshes the workspace `name`, in which the named fixtures stand beside the changed plugin-api.
    ///
    /// The directory of plugin-api has the generation's name in its own, because cargo takes crates with the same name,
    /// version and place in their workspaces for one and the same.
    pub(crate) fn new(name: &str, fixtures: &[&str], edits: &[Edit]) -> Self {
        let directory = build::kept("skew").join(name);
        let api = format!("plugin-api-{name}");
        copy_crate(&build::root().join("plugin-api"), &directory.join(&api), &|file, text| {
            edits.iter().filter(|edit| Path::new(edit.file) == file).fold(text, |text, edit| {
                let n = text.matches(edit.from).count();
                assert!(n == 1, "`{}` is {n} times in {}; adapt the edit of this test", edit.from, edit.file);
                text.replace(edit.from, edit.to)
            })
        });
        for fixture in fixtures {
            let source = build::root().join("tests/plugins/fixtures").join(fixture);
            copy_crate(&source, &directory.join(fixture), &|_, text| text.replace("plugin-api-NAME", &api));
        }
        let members: Vec<_> = fixtures.iter().map(|fixture| format!("\"{fixture}\"")).collect();
        let root = fs::read_to_string(build::root().join("Cargo.toml")).unwrap();
        let lines = root.lines().map(|line| match line.split_once(" = ") {
            Some(("members", _)) => format!("members = [\"{api}\", {}]\n", members.join(", ")),
            _ => format!("{line}\n"),
        });
        write_changed(&directory.join("Cargo.toml"), &lines.collect::<String>());
        let lock = fs::read_to_string(build::root().join("Cargo.lock")).unwrap();
        fs::write(directory.join("Cargo.lock"), lock).unwrap();
        Self { directory }
    }

    /// Builds a plug-in of the workspace.
    pub(crate) fn library(&self, package: &str) -> PathBuf {
        build::library(self.build().args(["--package", package]))
    }

    /// Builds a program of the workspace.
    pub(crate) fn program(&self, package: &str) -> PathBuf {
        let mut cargo = self.build();
        let files = build::artefacts(cargo.args(["--package", package]));
        files.into_iter().find(|file| file.extension().is_none()).unwrap()
    }

    fn build(&self) -> std::process::Command {
        let mut cargo = build::cargo_in(&self.directory, "build");
        // Every dependency is one of the project's own, so nothing has to be fetched.
        cargo.arg("--offline");
        cargo
    }
}

/// Copies a crate's manifest and sources, changed file by file; a file that stays the same keeps its time.
fn copy_crate(from: &Path, to: &Path, change: &dyn Fn(&Path, String) -> String) {
    let mut pending = vec![PathBuf::from("Cargo.toml"), PathBuf::from("src")];
    while let Some(relative) = pending.pop() {
        let source = from.join(&relative);
        if source.is_dir() {
            let entries = fs::read_dir(&source).unwrap().map(|entry| entry.unwrap().file_name());
            pending.extend(entries.map(|name| relative.join(name)));
        } else {
            let text = change(&relative, fs::read_to_string(&source).unwrap());
            write_changed(&to.join(&relative), &text);
        }
    }
}

fn write_changed(path: &Path, text: &str) {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return;
    }
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}
