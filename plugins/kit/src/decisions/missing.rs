//! Which part of what a guard has said is not in the file yet.
//!
//! Both are pieces of one stream. The file may begin later, after a change of files, and end earlier, even inside a line,
//! when its writer was killed. The whole goes to the end, and may have lost its beginning: an engine keeps no more than some files of
//! what a container writes.

/// Returns the end of `whole` that is missing in a file of `written` bytes whose end is `tail`.
pub(super) fn missing<'w>(whole: &'w [u8], tail: &[u8], written: u64) -> Missing<'w> {
    let after = |end: usize| Missing { bytes: &whole[end..], gap: false };
    if tail.is_empty() {
        return after(0);
    }
    // Where it is when neither has lost anything.
    if let Ok(written) = usize::try_from(written)
        && written >= tail.len()
        && whole.get(written - tail.len()..written) == Some(tail)
    {
        return after(written);
    }
    if let Some(at) = whole.windows(tail.len()).position(|piece| piece == tail) {
        return after(at + tail.len());
    }
    // The whole may begin inside the tail, with at least one line in common.
    let line = whole.iter().position(|byte| *byte == b'\n').map_or(whole.len(), |end| end + 1);
    let common = (line..=tail.len().min(whole.len())).rev().find(|&length| tail.ends_with(&whole[..length]));
    match common {
        Some(length) => after(length),
        // The end of the file is forgotten there, so all that is known came later.
        None => Missing { bytes: whole, gap: true },
    }
}

/// What a file lacks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Missing<'w> {
    pub(super) bytes: &'w [u8],
    /// Whether something between it and the file's end is lost.
    pub(super) gap: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(whole: &str, file: &str, tail: usize, expected: &str, gap: bool) {
        let tail = &file.as_bytes()[file.len() - tail.min(file.len())..];
        let found = missing(whole.as_bytes(), tail, file.len() as u64);
        assert_eq!((std::str::from_utf8(found.bytes).unwrap(), found.gap), (expected, gap));
    }

    #[test]
    fn what_the_file_has_is_not_added_again() {
        check("one\ntwo\n", "", 9, "one\ntwo\n", false);
        check("one\ntwo\n", "one\n", 9, "two\n", false);
        check("one\ntwo\n", "one\ntwo\n", 9, "", false);
    }

    #[test]
    fn a_line_whose_writer_was_killed_is_completed() {
        check("one\ntwo\nthree\n", "one\ntw", 9, "o\nthree\n", false);
        check("one\ntwo\nthree\n", "one\ntw", 3, "o\nthree\n", false);
    }

    #[test]
    fn equal_lines_are_told_apart_by_their_place() {
        check("same\nsame\nsame\nend\n", "same\nsame\n", 5, "same\nend\n", false);
    }

    #[test]
    fn either_may_have_lost_its_beginning() {
        check("one\ntwo\nthree\n", "two\n", 9, "three\n", false);
        check("two\nthree\nfour\n", "zero\none\ntwo\nth", 99, "ree\nfour\n", false);
        check("two\nthree\n", "zero\none\ntwo\n", 6, "three\n", false);
        check("seven\neight\n", "one\ntwo\n", 99, "seven\neight\n", true);
    }
}
