//! Where a project's manifest is: in the working directory, or in the nearest directory above it that has one.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Locations;
use super::read::{FILE_NAMES, canonical};
use crate::profile::Profiles;

/// A project's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// The directory of its manifest, else the working directory.
    pub directory: PathBuf,
    /// How many levels that is above the working directory.
    pub above: usize,
    /// A manifest above that is another user's. It does not count, and none above it does.
    pub foreign: Option<PathBuf>,
}

impl Project {
    /// Looks in the working directory and above, up to the home directory, whose manifest is the user's own, and to the border
    /// of the file system.
    ///
    /// Above the working directory only a manifest of the same user counts: where anybody may write, as in `/tmp`, it would
    /// otherwise be anybody's agents that are started below.
    pub fn find(home: &Path, cwd: &Path) -> Self {
        let (home, device) = (canonical(home), device(cwd));
        let is_inside = |directory: &&Path| self::device(directory) == device && canonical(directory) != home;
        let mut levels = cwd.ancestors().take_while(is_inside).enumerate();
        let found = levels.find_map(|(above, directory)| Some((above, directory, manifest(directory)?)));
        let here = Self { directory: cwd.to_owned(), above: 0, foreign: None };
        match found {
            Some((above, directory, path)) if above == 0 || is_own(&path) => {
                Self { directory: directory.to_owned(), above, foreign: None }
            }
            Some((.., path)) => Self { foreign: Some(path), ..here },
            None => here,
        }
    }

    /// Returns where manifests are looked for; the user's own is in `own`.
    pub fn locations(&self, home: &Path, own: PathBuf, profiles: &Profiles) -> Locations {
        let profiles = profiles.clone();
        Locations { home: home.to_owned(), own, cwd: self.directory.clone(), above: self.above, profiles }
    }
}

/// Returns the directory of the user's own manifest: the home directory, or that of the user's settings if it alone has one.
pub fn own_directory(home: &Path, settings: &Path) -> PathBuf {
    let is_there = manifest(home).is_none() && manifest(settings).is_some();
    if is_there { settings } else { home }.to_owned()
}

/// Returns the manifest among the user's settings that does not count, since the home directory has one too.
pub fn unread(home: &Path, settings: &Path) -> Option<PathBuf> {
    manifest(home).and_then(|_| manifest(settings))
}

fn device(directory: &Path) -> Option<u64> {
    fs::metadata(directory).map(|metadata| metadata.dev()).ok()
}

/// Returns the manifest of a directory; which of two is meant is told when it is read.
fn manifest(directory: &Path) -> Option<PathBuf> {
    let paths = FILE_NAMES.iter().map(|name| directory.join(name));
    paths.into_iter().find(|path| fs::symlink_metadata(path).is_ok())
}

fn is_own(path: &Path) -> bool {
    // Both the name and what it leads to: a link of another user may lead to a file of this one.
    let owners = [fs::symlink_metadata(path), fs::metadata(path)];
    let user = rustix::process::geteuid().as_raw();
    owners.iter().all(|found| found.as_ref().is_ok_and(|metadata| metadata.uid() == user))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_manifest_at_or_above_counts_and_the_home_directory_ends_the_search() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().canonicalize().unwrap().join(name);
        fs::create_dir_all(path("home/project/deep/below")).unwrap();
        fs::write(path("claude-bottle.yaml"), "").unwrap();
        fs::write(path("home/claude-bottle.yaml"), "").unwrap();
        let find = |cwd: &str| {
            let found = Project::find(&path("home"), &path(cwd));
            assert_eq!(found.foreign, None);
            (found.directory, found.above)
        };
        // Neither the user's own nor one above it is a project's.
        for cwd in ["home", "home/project", "home/project/deep/below"] {
            assert_eq!(find(cwd), (path(cwd), 0));
        }
        fs::write(path("home/project/claude-bottle.json"), "").unwrap();
        assert_eq!(find("home/project"), (path("home/project"), 0));
        assert_eq!(find("home/project/deep/below"), (path("home/project"), 2));
        fs::write(path("home/project/deep/claude-bottle.yml"), "").unwrap();
        assert_eq!(find("home/project/deep/below"), (path("home/project/deep"), 1));
    }

    #[test]
    fn what_leads_to_another_users_file_is_not_ones_own() {
        let root = tempfile::tempdir().unwrap();
        let own = root.path().join("own");
        fs::write(&own, "").unwrap();
        assert!(is_own(&own));
        assert!(!is_own(&root.path().join("missing")));
    }
}
