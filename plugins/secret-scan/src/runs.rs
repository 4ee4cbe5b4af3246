//! Stretches of bytes that belong together: what could be encoded, over the ends of lines, and what is text.

use std::borrow::Cow;
use std::ops::Range;

/// Returns the table of these bytes.
pub(super) const fn class(members: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut index = 0;
    while index < members.len() {
        table[members[index] as usize] = true;
        index += 1;
    }
    table
}

/// Returns the class of printable bytes and blanks; with the bytes of characters beyond ASCII, if wanted.
pub(super) const fn text(beyond_ascii: bool) -> [bool; 256] {
    let mut table = class(b" \t\r\n\x0c");
    let mut byte = 0;
    while byte < 256 {
        if (byte > 0x20 && byte < 0x7f) || (beyond_ascii && byte >= 0x80 && byte <= 0xf4) {
            table[byte] = true;
        }
        byte += 1;
    }
    table
}

/// Returns where at least `length` bytes in a row belong to the class.
///
/// Looks at the byte where a run would have to end first, so that ordinary text is mostly skipped.
pub(super) fn long_runs(text: &[u8], class: &[bool; 256], length: usize) -> Vec<Range<usize>> {
    let belongs = |index: usize| class[usize::from(text[index])];
    let (mut runs, mut start) = (Vec::new(), 0);
    while start + length <= text.len() {
        let Some(stranger) = (start..start + length).rev().find(|index| !belongs(*index)) else {
            let end = start + run_length(&text[start..], class);
            runs.push(start..end);
            start = end;
            continue;
        };
        start = stranger + 1;
    }
    runs
}

fn run_length(text: &[u8], class: &[bool; 256]) -> usize {
    text.iter().take_while(|b| class[usize::from(**b)]).count()
}

/// Returns the runs, those that go on behind the end of a line put together, since a long code is often wrapped.
pub(super) fn unwrapped<'a>(
    text: &'a [u8],
    runs: &[Range<usize>],
    class: &[bool; 256],
    length: usize,
) -> Vec<Cow<'a, [u8]>> {
    let (mut found, mut taken) = (Vec::new(), 0);
    for run in runs {
        // The lines behind the first are runs of their own, if they are long enough.
        if run.start >= taken {
            let (whole, end) = with_next_lines(text, run.clone(), class, length);
            found.push(whole);
            taken = end;
        }
    }
    found
}

/// Returns a run with the lines it goes on in, and where those end.
pub(super) fn with_next_lines<'a>(
    text: &'a [u8],
    run: Range<usize>,
    class: &[bool; 256],
    length: usize,
) -> (Cow<'a, [u8]>, usize) {
    let (mut whole, mut end) = (Cow::Borrowed(&text[run.clone()]), run.end);
    while let Some(start) = next_line(text, end) {
        let more = run_length(&text[start..], class);
        if more > 0 {
            whole.to_mut().extend_from_slice(&text[start..start + more]);
            end = start + more;
        }
        if more < length {
            break;
        }
    }
    (whole, end)
}

/// Returns where the next line begins when this one ends here.
fn next_line(text: &[u8], end: usize) -> Option<usize> {
    match text.get(end..)? {
        [b'\n', ..] => Some(end + 1),
        [b'\r', b'\n', ..] => Some(end + 2),
        _ => None,
    }
}
