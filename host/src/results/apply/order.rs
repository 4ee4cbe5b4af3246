//! The order in which paths are written, so that each has its directory when its turn comes, and no directory goes too early.

use std::path::Path;

use super::found::Found;
use super::journal::Step;

/// Sorts steps: what has to make room, directories, files, links, and deletions last of all, deepest first.
pub(in crate::results) fn sort(steps: &mut [Step]) {
    let retyped: Vec<_> = steps
        .iter()
        .filter(|step| step.from == Found::Directory && is_leaf(&step.to))
        .map(|step| step.path.clone())
        .collect();
    let makes_room = |path: &Path| {
        path.ancestors().skip(1).any(|above| retyped.iter().any(|retyped| retyped.as_path() == above))
    };
    let key = |step: &Step| {
        let depth = step.path.as_path().components().count();
        let (phase, depth) = match (&step.from, &step.to) {
            (_, Found::Absent) if makes_room(step.path.as_path()) => (0, usize::MAX - depth),
            (Found::Directory, to) if is_leaf(to) => (1, depth),
            (_, Found::Directory) => (2, depth),
            (_, Found::Link { .. }) => (4, 0),
            (_, Found::Absent) => (5, usize::MAX - depth),
            _ => (3, 0),
        };
        (phase, depth, step.path.clone())
    };
    steps.sort_by_cached_key(key);
}

/// Returns `true` if something has a file's or a link's place.
pub(in crate::results) fn is_leaf(found: &Found) -> bool {
    matches!(found, Found::File { .. } | Found::Link { .. })
}
