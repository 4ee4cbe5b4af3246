//! The ELF note by which a host knows a plug-in without running any of its code.
//!
//! A note is `namesz, descsz, type` as 32-bit words, then name and description, each padded to four bytes
//! (<https://refspecs.linuxfoundation.org/elf/gabi4+/ch5.pheader.html#note_section>). The description is JSON:
//! `{"name":…,"version":…,"contract":…}`.

/// The section the note is in.
pub const NOTE_SECTION: &str = ".note.claude_bottle";

/// The name in the note, with the NUL that ends it.
pub const NOTE_NAME: [u8; 16] = *b"claude-bottle\0\0\0";

/// The length of the name, with one NUL and without padding.
const NAME_SIZE: u32 = 14;

/// The note's type: the description is the manifest of a backend.
pub const NOTE_TYPE: u32 = 1;

/// A note with a description of `N` bytes, padding included.
#[repr(C, align(4))]
pub struct Note<const N: usize> {
    name_size: u32,
    description_size: u32,
    kind: u32,
    name: [u8; 16],
    description: [u8; N],
}

/// Makes a note from its description, padded with spaces, which JSON ignores.
pub const fn note<const N: usize>(description: &str) -> Note<N> {
    let bytes = description.as_bytes();
    let mut padded = [b' '; N];
    let mut i = 0;
    while i < bytes.len() {
        padded[i] = bytes[i];
        i += 1;
    }
    Note {
        name_size: NAME_SIZE,
        description_size: N as u32,
        kind: NOTE_TYPE,
        name: NOTE_NAME,
        description: padded,
    }
}
