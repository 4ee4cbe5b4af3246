//! Packages of Node that lie elsewhere: pnpm, workspaces and `npm link` put links into `node_modules`.

use std::fs;
use std::path::{Path, PathBuf};

/// Returns what the links in a directory of packages lead to, outside of it. The packages of a scope and those that
/// pnpm hides are looked at too.
pub(super) fn links_out(modules: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let hidden = modules.join(".pnpm/node_modules");
    for dir in [modules, &hidden] {
        add(dir, true, modules, &mut found);
    }
    found
}

fn add(dir: &Path, scopes: bool, modules: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_symlink() {
            // A link to nothing is a package that was not installed, such as one for another platform.
            let target = path.canonicalize().ok();
            found.extend(target.filter(|target| !target.starts_with(modules)));
        } else if scopes && kind.is_dir() && entry.file_name().as_encoded_bytes().starts_with(b"@") {
            add(&path, false, modules, found);
        }
    }
}
