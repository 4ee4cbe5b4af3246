//! The parts of an ELF file that matter before it is mapped, read by `object`. Nothing of the file is trusted.
//!
//! Layout: <https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html> and elf(5). Only 64-bit files of this machine's byte
//! order are read; [`Elf::open`] refuses the others by name.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use object::NativeEndian;
use object::elf::{
    DF_1_PIE, DT_FLAGS_1, DT_NEEDED, DT_NULL, DT_STRTAB, DynamicTag, FileHeader64, NoteType, PT_DYNAMIC,
    PT_LOAD, PT_NOTE, PT_TLS, ProgramHeader64, ProgramType,
};
use object::read::elf::{Dyn, FileHeader, ProgramHeader, SectionHeader};
use object::read::{ReadCache, ReadRef};

use super::preflight::PreflightError;

/// The segment that names a program's loader.
pub(super) const INTERPRETER: ProgramType = object::elf::PT_INTERP;

pub(super) const TYPE_RELOCATABLE: u16 = object::elf::ET_REL.0;
pub(super) const TYPE_EXECUTABLE: u16 = object::elf::ET_EXEC.0;
pub(super) const TYPE_SHARED: u16 = object::elf::ET_DYN.0;
pub(super) const TYPE_CORE: u16 = object::elf::ET_CORE.0;

const ENDIAN: NativeEndian = object::NativeEndian;

const HEADER_SIZE: u64 = size_of::<FileHeader64<NativeEndian>>() as u64;
const SEGMENT_SIZE: usize = size_of::<Segment>();
const SECTION_SIZE: u64 = 64;
/// A linker makes about a dozen; the number is bounded so that a bad file cannot make us read for long.
const MOST_SEGMENTS: u16 = 128;
const MOST_SECTIONS: usize = 4096;
const LONGEST_NOTES: u64 = 64 * 1024;
const LONGEST_DYNAMIC: u64 = 64 * 1024;
const LONGEST_COMMENT: u64 = 4096;
const LONGEST_NAME: u64 = 256;

/// What runs on this machine.
pub(super) const HOST_MACHINE: u16 = if cfg!(target_arch = "x86_64") {
    object::elf::EM_X86_64.0
} else if cfg!(target_arch = "aarch64") {
    object::elf::EM_AARCH64.0
} else if cfg!(target_arch = "riscv64") {
    object::elf::EM_RISCV.0
} else {
    object::elf::EM_NONE.0
};

const HOST_BYTE_ORDER: u8 = if cfg!(target_endian = "little") { 1 } else { 2 };

/// A part of the file and where it goes in memory.
type Segment = ProgramHeader64<NativeEndian>;

/// A file that is read in parts, each of which is kept.
pub(super) type Data<'f> = ReadCache<&'f File>;

/// Returns `true` if `address … address + size` is inside a segment that is loaded.
fn holds(segment: &Segment, address: u64, size: u64) -> bool {
    let end = address.checked_sub(segment.p_vaddr(ENDIAN)).and_then(|start| start.checked_add(size));
    segment.p_type(ENDIAN) == PT_LOAD && end.is_some_and(|end| end <= segment.p_memsz(ENDIAN))
}

/// An ELF file whose headers are read.
pub(super) struct Elf<'a> {
    data: &'a Data<'a>,
    size: u64,
    pub(super) kind: u16,
    pub(super) machine: u16,
    header: &'a FileHeader64<NativeEndian>,
    segments: &'a [Segment],
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
    /// Reads the headers; fails on what is not a 64-bit ELF file of this byte order.
    pub(super) fn open(file: &'a File, data: &'a Data<'a>) -> Result<Self, PreflightError> {
        let size = file.metadata().map_err(PreflightError::Read)?.len();
        check_identification(&start(file)?, size)?;
        if size < HEADER_SIZE {
            return Err(PreflightError::Truncated { needed: HEADER_SIZE, size });
        }
        let malformed = |_| PreflightError::Malformed { what: "its header makes no sense" };
        let header = FileHeader64::<NativeEndian>::parse(data).map_err(malformed)?;
        let (kind, machine) = (header.e_type(ENDIAN).0, header.e_machine(ENDIAN).0);
        let mut elf = Self { data, size, kind, machine, header, segments: &[] };
        // The machine and type of a foreign file are worth more to its user than a fault further on.
        if machine == HOST_MACHINE && kind == TYPE_SHARED {
            elf.segments = elf.read_segments()?;
        }
        Ok(elf)
    }

    fn read_segments(&self) -> Result<&'a [Segment], PreflightError> {
        let malformed = || PreflightError::Malformed { what: "its program headers make no sense" };
        let count = self.header.e_phnum(ENDIAN);
        if usize::from(self.header.e_phentsize(ENDIAN)) != SEGMENT_SIZE || count > MOST_SEGMENTS {
            return Err(malformed());
        }
        let table = u64::from(count) * SEGMENT_SIZE as u64;
        let needed = self.header.e_phoff(ENDIAN).saturating_add(table);
        if needed > self.size {
            return Err(PreflightError::Truncated { needed, size: self.size });
        }
        self.header.program_headers(ENDIAN, self.data).map_err(|_| malformed())
    }

    pub(super) fn has_segment(&self, kind: ProgramType) -> bool {
        self.segments.iter().any(|segment| segment.p_type(ENDIAN) == kind)
    }

    /// Fails unless everything that will be mapped is in the file.
    ///
    /// The dynamic linker maps what the headers say without a look at the file's size, and dies of SIGBUS when it
    /// touches a page that is not there.
    pub(super) fn check_extent(&self) -> Result<(), PreflightError> {
        if !self.has_segment(PT_LOAD) || !self.has_segment(PT_DYNAMIC) {
            return Err(PreflightError::Malformed { what: "it has nothing to map or no dynamic section" });
        }
        let sections = u64::from(self.header.e_shnum(ENDIAN)) * SECTION_SIZE;
        let sections_end = self.header.e_shoff(ENDIAN).saturating_add(sections);
        let end = |segment: &Segment| segment.p_offset(ENDIAN).saturating_add(segment.p_filesz(ENDIAN));
        let needed = self.segments.iter().map(end).max().unwrap_or_default();
        if needed > self.size {
            return Err(PreflightError::Truncated { needed: needed.max(sections_end), size: self.size });
        }
        for segment in self.segments {
            let in_file = segment.p_filesz(ENDIAN);
            let used_in_memory = [PT_DYNAMIC, PT_TLS].contains(&segment.p_type(ENDIAN));
            let held = self.segments.iter().any(|load| holds(load, segment.p_vaddr(ENDIAN), in_file));
            if in_file > segment.p_memsz(ENDIAN) || (used_in_memory && !held) {
                return Err(PreflightError::Malformed { what: "its program headers contradict each other" });
            }
        }
        Ok(())
    }

    /// Finds a note by its owner's name (with the NUL that ends it) and type.
    pub(super) fn note(&self, owner: &[u8], kind: u32) -> Option<&'a [u8]> {
        let segments = self
            .segments
            .iter()
            .filter(|segment| segment.p_type(ENDIAN) == PT_NOTE && segment.p_filesz(ENDIAN) <= LONGEST_NOTES);
        let notes = segments.filter_map(|segment| segment.notes(ENDIAN, self.data).ok().flatten());
        let mut notes = notes.flatten().filter_map(Result::ok);
        let found = notes.find(|note| note.name_bytes() == owner && note.n_type(ENDIAN) == NoteType(kind));
        found.map(|note| note.desc())
    }

    /// Reads the dynamic section.
    pub(super) fn dynamic(&self) -> Dynamic {
        let short = self.segments.iter().filter(|segment| segment.p_filesz(ENDIAN) <= LONGEST_DYNAMIC);
        let found = short.filter_map(|segment| segment.dynamic(ENDIAN, self.data).ok().flatten()).next();
        let entries = found.unwrap_or_default().iter();
        let entries: Vec<(DynamicTag, u64)> = entries
            .map(|entry| (entry.tag(ENDIAN), entry.val(ENDIAN)))
            .take_while(|(tag, _)| *tag != DT_NULL)
            .collect();
        let value = |wanted| entries.iter().find(|(tag, _)| *tag == wanted).map(|(_, value)| *value);
        let strings = value(DT_STRTAB).and_then(|address| self.offset_of(address));
        let needed = entries.iter().filter(|(tag, _)| *tag == DT_NEEDED);
        Dynamic {
            needed: needed.filter_map(|(_, at)| self.text(strings?.checked_add(*at)?)).collect(),
            program: value(DT_FLAGS_1).is_some_and(|flags| flags & DF_1_PIE.0 != 0),
        }
    }

    /// Returns where in the file an address is.
    fn offset_of(&self, address: u64) -> Option<u64> {
        let segment = self.segments.iter().find(|segment| holds(segment, address, 0))?;
        segment.p_offset(ENDIAN).checked_add(address - segment.p_vaddr(ENDIAN))
    }

    /// Reads a short text that ends with a NUL.
    fn text(&self, offset: u64) -> Option<String> {
        let end = offset.saturating_add(LONGEST_NAME).min(self.size);
        let bytes = self.data.read_bytes_at_until(offset..end, 0).ok()?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }

    /// Returns the compiler that made the file, from its `.comment` section: "rustc version 1.95.0 (…)".
    pub(super) fn compiler(&self) -> Option<String> {
        /// `SHF_MERGE | SHF_STRINGS`, without `SHF_ALLOC`: a comment and nothing that is loaded.
        const COMMENT_FLAGS: u64 = 0x30;
        let sections = self.header.section_headers(ENDIAN, self.data).ok()?;
        let comments = sections.iter().take(MOST_SECTIONS).filter(|section| {
            section.sh_flags.get(ENDIAN).0 == COMMENT_FLAGS && section.sh_size.get(ENDIAN) <= LONGEST_COMMENT
        });
        comments.filter_map(|section| section.data(ENDIAN, self.data).ok()).find_map(|bytes| {
            let texts = bytes.split(|byte| *byte == 0).filter_map(|text| str::from_utf8(text).ok());
            texts.map(str::to_owned).find(|text| text.starts_with("rustc version "))
        })
    }
}

/// Reads the first bytes, as many as there are of those that identify a file.
fn start(file: &File) -> Result<Vec<u8>, PreflightError> {
    let mut start = vec![0; 64];
    let mut filled = 0;
    while filled < start.len() {
        match file.read_at(&mut start[filled..], filled as u64) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(PreflightError::Read(error)),
        }
    }
    start.truncate(filled);
    Ok(start)
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
