//! What belongs together on a disk: the directory that an installer made as a whole, found by where a file lies in it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::is_shared;

/// A directory that is granted whole, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Root {
    pub(super) dir: PathBuf,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A package that npm installed globally: what it needs lies below it.
    NodePackage,
    /// A directory of packages that need each other.
    NodeModules,
    /// A Python environment.
    Venv,
    /// A prefix of its own, with libraries or data.
    Prefix,
}

/// Returns the directory that a file belongs to; `None` when the file stands for itself.
pub(super) fn root_of(file: &Path) -> Option<Root> {
    if is_shared(file) {
        return None;
    }
    node(file).or_else(|| venv(file)).or_else(|| prefix(file))
}

/// Packages of Node. pnpm's store holds a directory for each package, so the store is granted in place of hundreds.
fn node(file: &Path) -> Option<Root> {
    let parts: Vec<&OsStr> = file.components().map(|part| part.as_os_str()).collect();
    let upto = |count: usize| parts[..count].iter().collect::<PathBuf>();
    let store = parts.windows(3).position(|three| three[0] == "store" && three[2] == "links");
    if let Some(at) = store {
        return Some(Root { dir: upto(at + 3), kind: Kind::NodeModules });
    }
    let at = parts.iter().position(|part| *part == "node_modules")?;
    let name = parts.get(at + 1)?;
    match parts[at - 1] == "lib" && *name != ".bin" && *name != ".pnpm" {
        // With its siblings when it has a scope: a scope's packages find their platform's binary there.
        true => Some(Root { dir: upto(at + 2), kind: Kind::NodePackage }),
        false => Some(Root { dir: upto(at + 1), kind: Kind::NodeModules }),
    }
}

/// <https://docs.python.org/3/library/venv.html>: the file `pyvenv.cfg` makes a directory one.
fn venv(file: &Path) -> Option<Root> {
    let dir = file.ancestors().skip(1).find(|dir| dir.join("pyvenv.cfg").is_file())?;
    Some(Root { dir: dir.to_owned(), kind: Kind::Venv })
}

fn prefix(file: &Path) -> Option<Root> {
    let root = |dir: &Path| Some(Root { dir: dir.to_owned(), kind: Kind::Prefix });
    // Homebrew's programs are links into a cellar, and load libraries by way of other links.
    if let Some(brew) = file.ancestors().find(|dir| dir.ends_with(".linuxbrew")) {
        return root(brew);
    }
    let of_opt = file.strip_prefix("/opt").ok().filter(|rest| rest.components().count() > 1);
    if let Some(name) = of_opt.and_then(|rest| rest.components().next()) {
        return root(&Path::new("/opt").join(name));
    }
    let bin = file.parent().filter(|bin| bin.ends_with("bin") || bin.ends_with("libexec"))?;
    let dir = bin.parent()?;
    let has_more = ["lib", "lib64", "share", "libexec"].iter().any(|more| dir.join(more).is_dir());
    // The user's own prefix holds everything the user has.
    let is_own = !dir.ends_with(".local") && !dir.join(".local").exists();
    if has_more && is_own { root(dir) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_belongs_to_what_its_installer_made() {
        let check = |file: &str, expected: Option<(&str, Kind)>| {
            let expected = expected.map(|(dir, kind)| Root { dir: dir.into(), kind });
            assert_eq!(root_of(Path::new(file)), expected, "{file}");
        };
        check(
            "/h/.nvm/lib/node_modules/@x/y/cli.js",
            Some(("/h/.nvm/lib/node_modules/@x", Kind::NodePackage)),
        );
        check(
            "/h/lib/node_modules/a/node_modules/b/c.js",
            Some(("/h/lib/node_modules/a", Kind::NodePackage)),
        );
        check("/h/p/node_modules/.bin/a", Some(("/h/p/node_modules", Kind::NodeModules)));
        check("/h/p/node_modules/a/node_modules/b/c.js", Some(("/h/p/node_modules", Kind::NodeModules)));
        check(
            "/h/pnpm/store/v11/links/@/a/1/x/node_modules/a/cli.js",
            Some(("/h/pnpm/store/v11/links", Kind::NodeModules)),
        );
        check(
            "/home/linuxbrew/.linuxbrew/Cellar/x/1/bin/x",
            Some(("/home/linuxbrew/.linuxbrew", Kind::Prefix)),
        );
        check("/opt/tool/bin/x", Some(("/opt/tool", Kind::Prefix)));
        for alone in [
            "/opt/x",
            "/h/.local/share/claude/versions/2.1",
            "/usr/lib/node_modules/a/b.js",
            "/nix/store/x/bin/x",
        ] {
            check(alone, None);
        }
    }

    #[test]
    fn a_prefix_is_granted_and_a_home_is_not() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "tool/bin",
            "tool/lib",
            "go/bin",
            "go/pkg",
            "home/bin",
            "home/.local/bin",
            "home/lib",
            "home/.local/share",
        ] {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        let root = |file: &str| root_of(&dir.path().join(file)).map(|root| root.dir);
        assert_eq!(root("tool/bin/x"), Some(dir.path().join("tool")));
        for alone in ["go/bin/x", "home/bin/x", "home/.local/bin/x"] {
            assert_eq!(root(alone), None, "{alone}");
        }
    }
}
