//! Where git looks for hooks in the user's repository, read from its files; git is never run for it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// How many files may include each other.
const DEPTH: usize = 8;

/// Returns the directories below `directory` in which git looks for hooks by `core.hooksPath`.
///
/// Every file that may set it counts, also one that is included under a condition: a mark too many is better than one too few.
pub fn directories(directory: &Path, home: &Path) -> Vec<PathBuf> {
    let mut files = vec![home.join(".gitconfig"), home.join(".config/git/config")];
    if let Some(git) = git_dir(directory) {
        let common = fs::read_to_string(git.join("commondir"));
        let common = common.map_or_else(|_| git.clone(), |path| git.join(path.trim()));
        files.extend([common.join("config"), git.join("config.worktree")]);
    }
    let mut found = BTreeSet::new();
    for file in files {
        read(&file, home, DEPTH, &mut |value| {
            found.extend(below(directory, &expand(&value, home)));
        });
    }
    found.into_iter().collect()
}

/// Finds the directory of the repository: `.git` itself, or what the file of that name leads to.
fn git_dir(directory: &Path) -> Option<PathBuf> {
    let git = directory.join(".git");
    if git.is_dir() {
        return Some(git);
    }
    let text = fs::read_to_string(&git).ok()?;
    Some(directory.join(text.strip_prefix("gitdir:")?.trim()))
}

fn expand(value: &str, home: &Path) -> PathBuf {
    value.strip_prefix("~/").map_or_else(|| PathBuf::from(value), |rest| home.join(rest))
}

/// Returns a path relative to the directory, if it is below it.
fn below(directory: &Path, hooks: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for component in directory.join(hooks).components() {
        match component {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain.strip_prefix(directory).ok().map(Path::to_owned)
}

/// Reads a file of configuration and what it includes.
fn read(file: &Path, home: &Path, depth: usize, found: &mut dyn FnMut(String)) {
    let Ok(text) = fs::read(file) else { return };
    let mut section = String::new();
    for line in String::from_utf8_lossy(&text).lines().map(str::trim) {
        let mut line = line;
        if let Some((head, rest)) = line.strip_prefix('[').and_then(|head| head.split_once(']')) {
            let name = head.split_whitespace().next().unwrap_or_default();
            section = name.to_ascii_lowercase();
            line = rest.trim();
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        match (section.as_str(), key.trim().to_ascii_lowercase().as_str()) {
            ("core", "hookspath") => found(plain(value)),
            ("include" | "includeif", "path") if depth > 0 => {
                let path = expand(&plain(value), home);
                let path = file.parent().map_or_else(|| path.clone(), |parent| parent.join(&path));
                read(&path, home, depth - 1, found);
            }
            _ => {}
        }
    }
}

/// Returns a value without its quotes, escapes and comment.
fn plain(value: &str) -> String {
    let (mut plain, mut quoted) = (String::new(), false);
    let mut rest = value.trim().chars();
    while let Some(c) = rest.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' => plain.extend(rest.next()),
            '#' | ';' if !quoted => break,
            c => plain.push(c),
        }
    }
    plain.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_set_the_directory_of_hooks_counts() {
        let dir = tempfile::tempdir().unwrap();
        let (home, work) = (dir.path().join("home"), dir.path().join("work"));
        fs::create_dir_all(work.join(".git")).unwrap();
        fs::create_dir_all(&home).unwrap();
        let hooks = |config: &str| {
            fs::write(work.join(".git/config"), config).unwrap();
            directories(&work, &home)
        };
        let one = |path: &str| vec![PathBuf::from(path)];
        assert_eq!(hooks("[core]\n\tbare = false\n"), Vec::<PathBuf>::new());
        assert_eq!(hooks("[core]\n\thooksPath = .githooks # here\n"), one(".githooks"));
        assert_eq!(hooks("[CORE] HOOKSPATH = \"tools/../.hooks\"\n"), one(".hooks"));
        assert_eq!(hooks(&format!("[core]\nhookspath={}/h\n", work.display())), one("h"));
        assert_eq!(hooks("[core]\nhookspath = /dev/null\n"), Vec::<PathBuf>::new());
        fs::write(work.join(".git/more"), "[core]\nhooksPath = inc\n").unwrap();
        assert_eq!(hooks("[includeIf \"gitdir:/nowhere\"]\npath = more\n"), one("inc"));
        fs::write(home.join(".gitconfig"), "[core]\nhooksPath = mine\n").unwrap();
        assert_eq!(hooks("[include]\npath = config\n"), one("mine"));
    }

    #[test]
    fn a_worktree_has_the_configuration_of_its_repository() {
        let dir = tempfile::tempdir().unwrap();
        let (git, work) = (dir.path().join("main/.git"), dir.path().join("tree"));
        fs::create_dir_all(git.join("worktrees/tree")).unwrap();
        fs::create_dir_all(&work).unwrap();
        fs::write(work.join(".git"), format!("gitdir: {}\n", git.join("worktrees/tree").display())).unwrap();
        fs::write(git.join("worktrees/tree/commondir"), "../..\n").unwrap();
        fs::write(git.join("config"), "[core]\nhooksPath = .githooks\n").unwrap();
        assert_eq!(directories(&work, &dir.path().join("home")), [PathBuf::from(".githooks")]);
    }
}
