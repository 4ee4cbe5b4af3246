//! A reader for the parts of an ELF file that matter before it is mapped. It trusts no number in the file.
//!
//! Layout and constants: <https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html> and elf(5). Only 64-bit
//! files of this machine's byte order are read; [`Elf::open`] refuses the others by name.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::preflight::PreflightError;

pub(super) const TYPE_RELOCATABLE: u16 = 1;
pub(super) const TYPE_EXECUTABLE: u16 = 2;
pub(super) const TYPE_SHARED: u16 = 3;
pub(super) const TYPE_CORE: u16 = 4;

pub(super) const SEGMENT_LOAD: u32 = 1;
pub(super) const SEGMENT_DYNAMIC: u32 = 2;
pub(super) const SEGMENT_INTERPRETER: u32 = 3;
pub(super) const SEGMENT_NOTE: u32 = 4;
pub(super) const SEGMENT_TLS: u32 = 7;

const DYNAMIC_NEEDED: u64 = 1;
const DYNAMIC_STRING_TABLE: u64 = 5;
const DYNAMIC_FLAGS_1: u64 = 0x6fff_fffb;
/// In `DT_FLAGS_1`: the file is a program, position-independent.
const FLAG_PIE: u64 = 0x0800_0000;

const HEADER_SIZE: u64 = 64;
const SEGMENT_SIZE: usize = 56;
const SECTION_SIZE: usize = 64;
/// A linker makes about a dozen; the number is bounded so that a bad file cannot make us read for long.
const MOST_SEGMENTS: u16 = 128;
const MOST_SECTIONS: u16 = 4096;
const LONGEST_NOTES: u64 = 64 * 1024;
const LONGEST_DYNAMIC: u64 = 64 * 1024;
const LONGEST_COMMENT: u64 = 4096;

/// What runs on this machine.
pub(super) const HOST_MACHINE: u16 = if cfg!(target_arch = "x86_64") {
    62
} else if cfg!(target_arch = "aarch64") {
    183
} else if cfg!(target_arch = "riscv64") {
    243
} else {
    0
};

const HOST_BYTE_ORDER: u8 = if cfg!(target_endian = "little") { 1 } else { 2 };

/// A part of the file and where it goes in memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    pub(super) kind: u32,
    offset: u64,
    address: u64,
    file_size: u64,
    memory_size: u64,
    align: u64,
}

impl Segment {
    /// Returns whether `address … address + size` is inside this segment.
    fn holds(&self, address: u64, size: u64) -> bool {
        let offset = address.checked_sub(self.address).and_then(|start| start.checked_add(size));
        self.kind == SEGMENT_LOAD && offset.is_some_and(|end| end <= self.memory_size)
    }
}

/// An ELF file whose headers are read.
#[derive(Debug)]
pub(super) struct Elf<'a> {
    file: &'a File,
    size: u64,
    pub(super) kind: u16,
    pub(super) machine: u16,
    sections: (u64, u16),
    segments: Vec<Segment>,
}

/// What the dynamic section says.
#[derive(Debug, Default)]
pub(super) struct Dynamic {
    /// The libraries it needs.
    pub(super) needed: Vec<String>,
    /// Whether it is a program.
    pub(super) program: bool,
}

impl<'a> Elf<'a> {
    /// Reads the headers; fails on what is no 64-bit ELF file of this byte order.
    pub(super) fn open(file: &'a File) -> Result<Self, PreflightError> {
        let size = file.metadata().map_err(PreflightError::Read)?.len();
        let mut header = [0; HEADER_SIZE as usize];
        let length = read_up_to(file, &mut header)?;
        check_identification(&header[..length], size)?;
        if length < header.len() {
            return Err(PreflightError::Truncated { needed: HEADER_SIZE, size });
        }
        let (segment_size, n_segments) = (u16_at(&header, 54), u16_at(&header, 56));
        let mut elf = Self {
            file,
            size,
            kind: u16_at(&header, 16),
            machine: u16_at(&header, 18),
            sections: (u64_at(&header, 40), u16_at(&header, 60)),
            segments: Vec::new(),
        };
        // The machine and type of a foreign file are worth more to its user than a fault further on.
        if elf.machine == HOST_MACHINE && elf.kind == TYPE_SHARED {
            if usize::from(segment_size) != SEGMENT_SIZE || n_segments > MOST_SEGMENTS {
                return Err(PreflightError::Malformed { what: "its program headers make no sense" });
            }
            elf.segments = elf.read_segments(u64_at(&header, 32), n_segments)?;
        }
        Ok(elf)
    }

    fn read_segments(&self, offset: u64, count: u16) -> Result<Vec<Segment>, PreflightError> {
        let table = self.read(offset, u64::from(count) * SEGMENT_SIZE as u64)?;
        let segment = |entry: &[u8]| Segment {
            kind: u32_at(entry, 0),
            offset: u64_at(entry, 8),
            address: u64_at(entry, 16),
            file_size: u64_at(entry, 32),
            memory_size: u64_at(entry, 40),
            align: u64_at(entry, 48),
        };
        Ok(table.chunks_exact(SEGMENT_SIZE).map(segment).collect())
    }

    /// Reads a part of the file; a part that is not there means the file was cut off.
    fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>, PreflightError> {
        let needed = offset.saturating_add(length);
        if needed > self.size {
            return Err(PreflightError::Truncated { needed, size: self.size });
        }
        let length = usize::try_from(length)
            .map_err(|_| PreflightError::Malformed { what: "a part of it is too large" })?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, offset).map_err(PreflightError::Read)?;
        Ok(bytes)
    }

    pub(super) fn has_segment(&self, kind: u32) -> bool {
        self.segments.iter().any(|segment| segment.kind == kind)
    }

    /// Fails unless everything that will be mapped is in the file.
    ///
    /// The dynamic linker maps what the headers say without a look at the file's size, and dies of SIGBUS when it
    /// touches a page that is not there.
    pub(super) fn check_extent(&self) -> Result<(), PreflightError> {
        if !self.has_segment(SEGMENT_LOAD) || !self.has_segment(SEGMENT_DYNAMIC) {
            return Err(PreflightError::Malformed { what: "it has nothing to map or no dynamic section" });
        }
        let (section_offset, n_sections) = self.sections;
        let sections_end = section_offset.saturating_add(u64::from(n_sections) * SECTION_SIZE as u64);
        let end = |segment: &Segment| segment.offset.saturating_add(segment.file_size);
        let needed = self.segments.iter().map(end).max().unwrap_or_default();
        if needed > self.size {
            return Err(PreflightError::Truncated { needed: needed.max(sections_end), size: self.size });
        }
        let inner = [SEGMENT_DYNAMIC, SEGMENT_TLS];
        for segment in &self.segments {
            let used_in_memory = inner.contains(&segment.kind);
            let held = self.segments.iter().any(|load| load.holds(segment.address, segment.file_size));
            if segment.file_size > segment.memory_size || (used_in_memory && !held) {
                return Err(PreflightError::Malformed { what: "its program headers contradict each other" });
            }
        }
        Ok(())
    }

    /// Finds a note by its owner's name (with the NUL that ends it) and type.
    pub(super) fn note(&self, owner: &[u8], kind: u32) -> Result<Option<Vec<u8>>, PreflightError> {
        for segment in self.segments.iter().filter(|segment| segment.kind == SEGMENT_NOTE) {
            if segment.file_size > LONGEST_NOTES {
                continue;
            }
            let bytes = self.read(segment.offset, segment.file_size)?;
            let align = if segment.align == 8 { 8 } else { 4 };
            if let Some(description) = find_note(&bytes, align, owner, kind) {
                return Ok(Some(description.to_owned()));
            }
        }
        Ok(None)
    }

    /// Reads the dynamic section.
    pub(super) fn dynamic(&self) -> Result<Dynamic, PreflightError> {
        let found = self.segments.iter().find(|segment| segment.kind == SEGMENT_DYNAMIC);
        let Some(segment) = found.filter(|segment| segment.file_size <= LONGEST_DYNAMIC) else {
            return Ok(Dynamic::default());
        };
        let table = self.read(segment.offset, segment.file_size)?;
        let entries: Vec<_> = table
            .chunks_exact(16)
            .map(|entry| (u64_at(entry, 0), u64_at(entry, 8)))
            .take_while(|(tag, _)| *tag != 0)
            .collect();
        let value = |wanted| entries.iter().find(|(tag, _)| *tag == wanted).map(|(_, value)| *value);
        let strings = value(DYNAMIC_STRING_TABLE).and_then(|address| self.offset_of(address));
        let needed = entries.iter().filter(|(tag, _)| *tag == DYNAMIC_NEEDED);
        Ok(Dynamic {
            needed: needed.filter_map(|(_, at)| self.text(strings?.checked_add(*at)?)).collect(),
            program: value(DYNAMIC_FLAGS_1).is_some_and(|flags| flags & FLAG_PIE != 0),
        })
    }

    /// Returns where in the file an address is.
    fn offset_of(&self, address: u64) -> Option<u64> {
        let segment = self.segments.iter().find(|segment| segment.holds(address, 0))?;
        segment.offset.checked_add(address - segment.address)
    }

    /// Reads a short text that ends with a NUL.
    fn text(&self, offset: u64) -> Option<String> {
        let length = self.size.checked_sub(offset)?.min(256);
        let bytes = self.read(offset, length).ok()?;
        let end = bytes.iter().position(|byte| *byte == 0)?;
        Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }

    /// Returns the compiler that made the file, from its `.comment` section: "rustc version 1.95.0 (…)".
    pub(super) fn compiler(&self) -> Option<String> {
        /// `SHF_MERGE | SHF_STRINGS`, without `SHF_ALLOC`: a comment and nothing that is loaded.
        const COMMENT_FLAGS: u64 = 0x30;
        let (offset, count) = self.sections;
        let table = self.read(offset, u64::from(count.min(MOST_SECTIONS)) * SECTION_SIZE as u64).ok()?;
        let comments = table
            .chunks_exact(SECTION_SIZE)
            .filter(|entry| u64_at(entry, 8) == COMMENT_FLAGS && u64_at(entry, 32) <= LONGEST_COMMENT);
        comments.filter_map(|entry| self.read(u64_at(entry, 24), u64_at(entry, 32)).ok()).find_map(|bytes| {
            let texts = bytes.split(|byte| *byte == 0).filter_map(|text| str::from_utf8(text).ok());
            texts.map(str::to_owned).find(|text| text.starts_with("rustc version "))
        })
    }
}

/// Checks the first bytes: what the file is, and whether it is for this kind of machine.
fn check_identification(start: &[u8], size: u64) -> Result<(), PreflightError> {
    if !start.starts_with(b"\x7fELF") {
        let what = match start {
            [] => "empty",
            [b'#', b'!', ..] => "a script",
            [b'P', b'K', ..] | [0x1f, 0x8b, ..] => "an archive",
            _ if start.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) => "text",
            _ => "something else",
        };
        return Err(PreflightError::NotElf { what, size });
    }
    match start {
        [_, _, _, _, 1, ..] => Err(PreflightError::Not64Bit),
        [_, _, _, _, 2, order, ..] if *order != HOST_BYTE_ORDER => Err(PreflightError::ByteOrder),
        [_, _, _, _, 2, _, ..] => Ok(()),
        [_, _, _, _, class, _, ..] if *class != 2 => {
            Err(PreflightError::Malformed { what: "its class is unknown" })
        }
        _ => Err(PreflightError::Truncated { needed: HEADER_SIZE, size }),
    }
}

/// Walks the notes of a segment.
fn find_note<'n>(mut notes: &'n [u8], align: usize, owner: &[u8], kind: u32) -> Option<&'n [u8]> {
    loop {
        let (header, rest) = notes.split_at_checked(12)?;
        let name_size = usize::try_from(u32_at(header, 0)).ok()?;
        let description_size = usize::try_from(u32_at(header, 4)).ok()?;
        let name = rest.get(..name_size)?;
        // With an alignment of eight the name is padded so that the description is aligned, header included.
        let start = (12 + name_size).checked_next_multiple_of(align)? - 12;
        let end = start.checked_add(description_size)?;
        let description = rest.get(start..end)?;
        if name == owner && u32_at(header, 8) == kind {
            return Some(description);
        }
        let next = (12 + end).checked_next_multiple_of(align)?;
        notes = notes.get(next..)?;
    }
}

/// Reads as much of the start of the file as there is.
fn read_up_to(file: &File, buffer: &mut [u8]) -> Result<usize, PreflightError> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(PreflightError::Read(error)),
        }
    }
    Ok(filled)
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes(number(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(number(bytes, at))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(number(bytes, at))
}
