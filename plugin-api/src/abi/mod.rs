//! What crosses the library boundary, and the glue on both sides of it.
//!
//! The root module and the host's table are plain functions over integers and JSON texts. They are frozen for
//! the whole of contract 1: abi_stable's layout check works in one direction only, so a module that grew would be
//! refused in its older form. Growth happens in the documents, and through `operation` and `service`, one
//! generic function on each side. Nothing of abi_stable is visible outside this folder.

#[cfg(feature = "host")]
mod check;
mod export;
mod fence;
#[cfg(feature = "host")]
pub mod host;
mod log;
#[doc(hidden)]
pub mod module;
mod note;
#[cfg(feature = "host")]
mod opened;
mod operations;
mod services;
mod size;
#[cfg(test)]
mod tests;
mod wire;

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

pub use export::{Exported, Header, header, root_module};
pub use module::ROOT_SYMBOL;
pub use note::{NOTE_NAME, NOTE_SECTION, NOTE_TYPE, Note, note};
pub use size::{MAX_EVENT, MAX_PAYLOAD};

/// Duplicates a descriptor that crossed the boundary as a number.
#[expect(unsafe_code, reason = "a number that crossed becomes a descriptor again")]
pub(crate) fn borrow_fd(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: the number is not -1; a number that is not open makes the duplication fail with EBADF, and the
    // borrow ends with it. The host keeps the descriptors it names open for the length of the call.
    unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned()
}
