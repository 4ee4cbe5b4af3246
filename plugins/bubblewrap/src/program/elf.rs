//! What a binary names: its loader, and where it looks for libraries of its own. 64 bits and little-endian, as everything here.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use object::LittleEndian;
use object::elf::{DT_RPATH, DT_RUNPATH, DT_STRTAB, FileHeader64, PT_LOAD, ProgramHeader64};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::read::{ReadCache, ReadRef};

/// No table or text that is read here is longer.
const LARGEST: u64 = 1 << 20;
const LONGEST_TEXT: u64 = 4096;

/// What a binary names. A static one names nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Elf {
    /// The program that loads it.
    pub(super) loader: Option<PathBuf>,
    /// Directories of libraries, `$ORIGIN` replaced.
    pub(super) libraries: Vec<PathBuf>,
}

type Header = FileHeader64<LittleEndian>;
type Segment = ProgramHeader64<LittleEndian>;

/// Reads a binary; `None` when the file is another kind of file.
pub(super) fn read(path: &Path) -> Option<Elf> {
    let file = ReadCache::new(File::open(path).ok()?);
    let header = Header::parse(&file).ok().filter(|header| header.is_little_endian())?;
    Some(parse(header, &file, path).unwrap_or_default())
}

fn parse(header: &Header, file: &ReadCache<File>, path: &Path) -> Option<Elf> {
    let segments = header.program_headers(LittleEndian, file).ok()?;
    let short = || segments.iter().filter(|segment| segment.p_filesz(LittleEndian) <= LARGEST);
    let loader = short().find_map(|segment| segment.interpreter(LittleEndian, file).ok().flatten());
    Some(Elf {
        loader: loader.map(|path| PathBuf::from(OsStr::from_bytes(path))),
        libraries: short().find_map(|dynamic| libraries(file, dynamic, segments, path)).unwrap_or_default(),
    })
}

/// Reads the directories that the dynamic segment names; `None` for another segment.
fn libraries(
    file: &ReadCache<File>,
    dynamic: &Segment,
    segments: &[Segment],
    path: &Path,
) -> Option<Vec<PathBuf>> {
    let entries = dynamic.dynamic(LittleEndian, file).ok().flatten()?;
    let strings = entries.iter().find(|entry| entry.tag(LittleEndian) == DT_STRTAB)?.val(LittleEndian);
    let (address, size) = (
        |segment: &Segment| segment.p_vaddr(LittleEndian),
        |segment: &Segment| segment.p_filesz(LittleEndian),
    );
    let segment = segments.iter().find(|segment| {
        segment.p_type(LittleEndian) == PT_LOAD
            && (address(segment)..address(segment).saturating_add(size(segment))).contains(&strings)
    })?;
    let strings = (strings - address(segment)).checked_add(segment.p_offset(LittleEndian))?;
    let origin = path.parent()?.to_str()?;
    let mut found = Vec::new();
    for entry in entries.iter().filter(|entry| [DT_RPATH, DT_RUNPATH].contains(&entry.tag(LittleEndian))) {
        let start = strings.checked_add(entry.val(LittleEndian))?;
        let text = file.read_bytes_at_until(start..start.checked_add(LONGEST_TEXT)?, 0).ok()?;
        let expanded = str::from_utf8(text).ok()?.replace("${ORIGIN}", origin).replace("$ORIGIN", origin);
        found.extend(expanded.split(':').filter(|dir| dir.starts_with('/')).map(PathBuf::from));
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_names_its_loader_and_what_is_no_binary_names_nothing() {
        let shell = read(Path::new("/bin/sh")).unwrap();
        assert!(shell.loader.is_some_and(|loader| loader.exists()) && shell.libraries.is_empty());
        assert_eq!(read(Path::new("/etc/passwd")), None);
        let dir = tempfile::tempdir().unwrap();
        let cut = dir.path().join("cut");
        let shell = std::fs::read("/bin/sh").unwrap();
        for length in [0, 5, 63, 64, 200, 4096] {
            std::fs::write(&cut, &shell[..length]).unwrap();
            read(&cut);
        }
    }

    #[test]
    fn libraries_of_its_own_are_found_from_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("program");
        std::fs::write(dir.path().join("a.c"), "int main(void) { return 0; }").unwrap();
        let mut gcc = std::process::Command::new("gcc");
        gcc.current_dir(dir.path()).args(["a.c", "-o", "program", "-Wl,-rpath,$ORIGIN/../lib:/opt/x/lib"]);
        assert!(gcc.status().unwrap().success());
        let expected = [dir.path().join("../lib"), PathBuf::from("/opt/x/lib")];
        assert_eq!(read(&program).unwrap().libraries, expected);
    }
}
