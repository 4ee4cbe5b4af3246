//! Lengths of time on the command line.

use crate::duration;
use crate::error::CliError;

use super::usage;

/// The longest that is taken; what is to last longer belongs into the manifest.
const MOST: u64 = 30 * 86_400;

/// Reads a length of time, in seconds: `90s`, `30m`, `2h`, `1d`.
///
/// # Errors
/// Fails on what is not one.
pub(super) fn parse(text: &str) -> Result<u64, CliError> {
    duration::seconds(text, MOST).ok_or_else(|| {
        let message = format!("`{}` is not a valid length of time", text.escape_debug());
        usage(message).hint("write it as 30m or 2h; the longest is 30d")
    })
}
