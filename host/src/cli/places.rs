//! What to do about a directory of this program's that cannot be used: it is full, read-only, or a file is in its place.

use std::io::{self, ErrorKind};
use std::path::Path;

use crate::environment::Invocation;

/// Returns advice for an error about one of the directories, if it is one.
pub(super) fn advice(invocation: &Invocation, error: &anyhow::Error) -> Option<String> {
    let kind = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>())?.kind();
    let text = format!("{error:#}");
    let places = [
        ("XDG_STATE_HOME", &invocation.state_dir),
        ("XDG_DATA_HOME", &invocation.data_dir),
        ("XDG_CONFIG_HOME", &invocation.config_dir),
    ];
    let (variable, place) = places.into_iter().find(|(_, place)| text.contains(&*place.to_string_lossy()))?;
    let shown = place.display();
    match kind {
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            let file = place.ancestors().find(|path| is_in_the_way(path))?.display();
            Some(format!(
                "`{file}` is not a directory: move it away, or use another place: export {variable}=DIR"
            ))
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Some(format!(
            "make room for `{shown}` (old results: claude-bottle discard), or use another place: export {variable}=DIR"
        )),
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
            Some(format!("make `{shown}` writable, or use another place: export {variable}=DIR"))
        }
        _ => None,
    }
}

fn is_in_the_way(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| !metadata.is_dir() && !metadata.is_symlink())
}
