//! Saved results: what an agent changed in its copy of the working directory, kept, shown, applied and undone.
//!
//! A result is computed from files: the archive of a halted bottle's workspace against the index of what was copied in. It is
//! immutable and named by a digest; the user's directory is written only by `apply`.

pub mod apply;
pub mod archive;
pub mod baseline;
pub mod changes;
pub mod collect;
pub mod commits;
pub mod contents;
pub mod copied_in;
pub mod draft;
pub mod escape;
pub mod export;
pub mod git;
pub mod hash;
pub mod ignored;
pub mod inspect;
pub mod kept;
pub mod marks;
pub mod model;
pub mod renames;
pub mod render;
pub mod repository;
mod restore;
pub mod resume;
pub mod save;
pub mod secrets;
pub mod select;
pub mod store;
pub mod stream;
pub mod text;
pub mod verify;
pub mod wanted;

#[cfg(test)]
#[path = "../../../tests/results/made.rs"]
pub(crate) mod made;
