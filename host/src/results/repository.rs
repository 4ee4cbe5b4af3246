//! What a repository of the host says by its files alone: where its data is, its HEAD. git is not run.

use std::fs;
use std::path::{Path, PathBuf};

use crate::results::model::Base;

/// Where a repository's data is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// Of this work tree.
    pub data: PathBuf,
    /// What all work trees share.
    pub common: PathBuf,
}

impl Repository {
    /// Finds the repository whose work tree a directory is.
    pub fn find(directory: &Path) -> Option<Self> {
        let git = directory.join(".git");
        let kind = fs::symlink_metadata(&git).ok()?.file_type();
        let data = if kind.is_dir() {
            git
        } else if kind.is_file() {
            let text = fs::read_to_string(&git).ok()?;
            directory.join(text.strip_prefix("gitdir:")?.trim())
        } else {
            return None;
        };
        let common = match fs::read_to_string(data.join("commondir")) {
            Ok(path) => data.join(path.trim()),
            Err(_) => data.clone(),
        };
        Some(Self { data, common })
    }

    /// Returns what HEAD names.
    pub fn base(&self) -> Base {
        let Ok(head) = fs::read_to_string(self.data.join("HEAD")) else { return Base::default() };
        let head = head.trim();
        match head.strip_prefix("ref:").map(str::trim) {
            Some(name) => Base {
                head: self.commit(name),
                branch: Some(name.strip_prefix("refs/heads/").unwrap_or(name).to_owned()),
            },
            None => Base { head: object(head), branch: None },
        }
    }

    /// Finds the commit of a reference, in a file of its own or among the packed ones.
    fn commit(&self, name: &str) -> Option<String> {
        if name.split('/').any(|part| part.is_empty() || part == "..") {
            return None;
        }
        let loose = fs::read_to_string(self.common.join(name)).ok();
        loose.and_then(|text| object(text.trim())).or_else(|| {
            let packed = fs::read_to_string(self.common.join("packed-refs")).ok()?;
            let mut lines = packed.lines().filter_map(|line| line.split_once(' '));
            lines.find(|(_, packed)| *packed == name).and_then(|(id, _)| object(id))
        })
    }
}

/// Returns the name of an object, if it is one.
fn object(text: &str) -> Option<String> {
    let is_one = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_one.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn sh(dir: &Path, script: &str) -> String {
        let mut sh = Command::new("sh");
        sh.args(["-ec", script]).current_dir(dir).env("HOME", dir).env("GIT_CONFIG_NOSYSTEM", "1");
        for role in ["AUTHOR", "COMMITTER"] {
            sh.env(format!("GIT_{role}_NAME"), "t").env(format!("GIT_{role}_EMAIL"), "t@t");
        }
        let output = sh.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    #[test]
    fn head_is_what_git_says_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("p");
        sh(dir.path(), "git init -q -b main p");
        let base = |at: &Path| Repository::find(at).unwrap().base();
        assert_eq!(base(&at), Base { head: None, branch: Some("main".to_owned()) });
        sh(&at, "git commit -q --allow-empty -m one; git worktree add -q -b a/side ../tree");
        let head = Some(sh(&at, "git rev-parse HEAD"));
        assert_eq!(base(&at), Base { head: head.clone(), branch: Some("main".to_owned()) });
        assert_eq!(
            base(&dir.path().join("tree")),
            Base { head: head.clone(), branch: Some("a/side".to_owned()) }
        );
        sh(&at, "git pack-refs --all");
        assert_eq!(base(&at).head, head);
        sh(&at, "git checkout -q --detach");
        assert_eq!(base(&at), Base { head, branch: None });
        assert_eq!(Repository::find(dir.path()), None);
    }
}
