//! Trees of files that look like source code: many, small, all different.

use std::fs;
use std::path::Path;

/// How large a tree is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tree {
    pub(super) files: usize,
    pub(super) bytes: usize,
}

/// How many files a directory has.
const PER_DIRECTORY: usize = 250;

/// Writes the files of a tree, `000/000` the first of them.
pub(super) fn fill(directory: &Path, tree: Tree) -> anyhow::Result<()> {
    for number in 0..tree.files {
        let below = directory.join(format!("{:03}", number / PER_DIRECTORY));
        if number % PER_DIRECTORY == 0 {
            fs::create_dir_all(&below)?;
        }
        let mut text = String::with_capacity(tree.bytes + 64);
        let mut line = 0;
        while text.len() < tree.bytes {
            text.push_str(&format!(
                "line {line} of file {number}: let value = compute({});\n",
                line * 7919 % 1000
            ));
            line += 1;
        }
        text.truncate(tree.bytes);
        fs::write(below.join(format!("{:03}", number % PER_DIRECTORY)), text)?;
    }
    Ok(())
}
