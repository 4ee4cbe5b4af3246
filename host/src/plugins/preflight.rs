//! Judges a plug-in's file before it is mapped: what it is, for which machine, whole or cut off, whose note it carries.
//!
//! None of its code runs. What this is not: a proof that loading it is safe. A file whose headers are sound and whose
//! content is damaged or hostile passes; trust in where it comes from is the matter of [`super::guard`] and
//! [`super::pin`].

use std::fs::File;
use std::io;

use claude_bottle_plugin_api::abi::{NOTE_NAME, NOTE_TYPE};
use claude_bottle_plugin_api::{CONTRACT, ContractVersion};
use serde::{Deserialize, Serialize};

use super::elf::{self, Elf};

/// A note is a name and two versions.
const LONGEST_NOTE: usize = 4096;
const LONGEST_VERSION: usize = 64;

/// What a plug-in's file says of itself in its ELF note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The backend's name.
    pub name: String,
    /// The plug-in's version.
    pub version: String,
    /// The contract it was built with.
    pub contract: ContractVersion,
}

/// What can be known of a file without running it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// Its note.
    pub note: Note,
    /// The libraries it needs.
    pub needed: Vec<String>,
    /// The compiler that made it, when the file says so.
    pub compiler: Option<String>,
}

/// Why a file is no plug-in this host can load.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// It is no ELF file.
    #[error("it is not a shared library ({what}, {size} bytes)")]
    NotElf {
        /// What it looks like.
        what: &'static str,
        /// Its size.
        size: u64,
    },
    /// It is for a 32-bit machine.
    #[error("it is a 32-bit library, and this host is a 64-bit program")]
    Not64Bit,
    /// It is for a machine of the other byte order.
    #[error("it is built for a machine of the other byte order")]
    ByteOrder,
    /// It is for another processor.
    #[error("it is built for {found}, and this host runs on {host}", host = machine_name(elf::HOST_MACHINE))]
    Machine {
        /// Which one.
        found: String,
    },
    /// It is another kind of ELF file.
    #[error("it is {what}, not a shared library")]
    NotLibrary {
        /// What it is.
        what: &'static str,
    },
    /// The end is missing.
    #[error("it is truncated: it needs {needed} bytes and has {size}")]
    Truncated {
        /// How long it would have to be, at least.
        needed: u64,
        /// How long it is.
        size: u64,
    },
    /// Its headers make no sense.
    #[error("it is damaged: {what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
    /// It has no note of ours.
    #[error("it is a shared library, but not a claude-bottle plug-in: it has no note of that kind")]
    NotPlugin,
    /// Its note cannot be read.
    #[error("its plug-in note cannot be read: {reason}")]
    Note {
        /// Why not.
        reason: String,
    },
    /// The file's name and the note disagree.
    #[error("it declares the backend `{declared}`, and its file name stands for `{expected}`")]
    Name {
        /// By the note.
        declared: String,
        /// By the file's name.
        expected: String,
    },
    /// It was built with an older contract.
    #[error("it speaks contract {plugin}, which is too old: this host needs {}.x", CONTRACT.major)]
    ContractTooOld {
        /// The plug-in's contract.
        plugin: ContractVersion,
    },
    /// It was built with a newer contract.
    #[error("it speaks contract {plugin}, which is too new: this host knows {}.x", CONTRACT.major)]
    ContractTooNew {
        /// The plug-in's contract.
        plugin: ContractVersion,
    },
    /// The system refused.
    #[error("it cannot be read")]
    Read(#[source] io::Error),
}

impl PreflightError {
    /// Returns a short stable name of the case.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotElf { .. } => "not-elf",
            Self::Not64Bit => "not-64-bit",
            Self::ByteOrder => "byte-order",
            Self::Machine { .. } => "machine",
            Self::NotLibrary { .. } => "not-a-library",
            Self::Truncated { .. } => "truncated",
            Self::Malformed { .. } => "malformed",
            Self::NotPlugin => "not-a-plugin",
            Self::Note { .. } => "note",
            Self::Name { .. } => "name",
            Self::ContractTooOld { .. } => "contract-too-old",
            Self::ContractTooNew { .. } => "contract-too-new",
            Self::Read(_) => "read",
        }
    }

    /// Returns what to do about it.
    pub fn hint(&self) -> Option<String> {
        let host = machine_name(elf::HOST_MACHINE);
        Some(match self {
            Self::Not64Bit | Self::ByteOrder | Self::Machine { .. } => {
                format!("install the plug-in's build for {host}")
            }
            Self::NotElf { .. } | Self::Truncated { .. } | Self::Malformed { .. } => {
                "install the plug-in again; copy to another name first and then rename: cp FILE DIR/new && mv \
                 DIR/new DIR/claude-bottle-backend-NAME.so"
                    .to_owned()
            }
            Self::NotLibrary { .. } | Self::NotPlugin | Self::Note { .. } => {
                "build the plug-in with crate-type = [\"cdylib\"] and export_backend! of claude-bottle-plugin-api"
                    .to_owned()
            }
            Self::Name { declared, .. } => {
                format!("rename the file to `{}`", super::find::file_names(declared)[0])
            }
            Self::ContractTooOld { .. } => {
                format!("update the plug-in, or build it with claude-bottle-plugin-api {}", CONTRACT.major)
            }
            Self::ContractTooNew { .. } => "update claude-bottle, or install an older plug-in".to_owned(),
            Self::Read(_) => return None,
        })
    }
}

/// Reads what a file says of itself.
///
/// # Errors
/// Says what the file is when it is no plug-in for this machine.
pub fn inspect(file: &File) -> Result<Inspection, PreflightError> {
    let data = elf::Data::new(file);
    let elf = Elf::open(file, &data)?;
    check_kind(&elf)?;
    elf.check_extent()?;
    let dynamic = elf.dynamic();
    if elf.has_segment(elf::INTERPRETER) || dynamic.program {
        return Err(PreflightError::NotLibrary { what: "a program" });
    }
    // The owner's name counts with its NUL and without the padding.
    let owner = NOTE_NAME.split_inclusive(|byte| *byte == 0).next().unwrap_or_default();
    let description = elf.note(owner, NOTE_TYPE).ok_or(PreflightError::NotPlugin)?;
    Ok(Inspection { note: read_note(description)?, needed: dynamic.needed, compiler: elf.compiler() })
}

/// Judges whether a file with this note may stand for the backend `name` in this host.
///
/// # Errors
/// Fails on another name, and on another major version of the contract.
pub fn judge(note: &Note, name: &str) -> Result<(), PreflightError> {
    if note.name != name {
        return Err(PreflightError::Name { declared: note.name.clone(), expected: name.to_owned() });
    }
    if note.contract.major < CONTRACT.major {
        return Err(PreflightError::ContractTooOld { plugin: note.contract });
    }
    if note.contract.major > CONTRACT.major {
        return Err(PreflightError::ContractTooNew { plugin: note.contract });
    }
    Ok(())
}

fn check_kind(elf: &Elf<'_>) -> Result<(), PreflightError> {
    if elf.machine != elf::HOST_MACHINE {
        return Err(PreflightError::Machine { found: machine_name(elf.machine) });
    }
    let what = match elf.kind {
        elf::TYPE_SHARED => return Ok(()),
        elf::TYPE_RELOCATABLE => "an object file",
        elf::TYPE_EXECUTABLE => "a program",
        elf::TYPE_CORE => "a core dump",
        _ => "an unknown kind of ELF file",
    };
    Err(PreflightError::NotLibrary { what })
}

/// Reads the note's text; what it says is shown to users, so it may hold nothing that a terminal would obey.
fn read_note(description: &[u8]) -> Result<Note, PreflightError> {
    let bad = |reason: String| PreflightError::Note { reason };
    if description.len() > LONGEST_NOTE {
        return Err(bad(format!("it has {} bytes, more than {LONGEST_NOTE}", description.len())));
    }
    let note: Note =
        serde_json::from_slice(description).map_err(|error| bad(super::printable(&error.to_string())))?;
    if super::find::check_name(&note.name).is_err() {
        return Err(bad(format!("`{}` is not a backend's name", super::printable(&note.name))));
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".+-_~".contains(&b);
    if note.version.len() > LONGEST_VERSION || !note.version.bytes().all(plain) {
        return Err(bad(format!("`{}` is not a version", super::printable(&note.version))));
    }
    Ok(note)
}

/// Returns the name of an ELF machine number (elf(5), `e_machine`).
fn machine_name(machine: u16) -> String {
    let name = match machine {
        3 => "x86 (32-bit)",
        21 => "powerpc64",
        22 => "s390x",
        40 => "arm (32-bit)",
        62 => "x86-64",
        183 => "aarch64",
        243 => "riscv64",
        258 => "loongarch64",
        other => return format!("machine {other}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str) -> String {
        read_note(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_note_may_grow() {
        let note =
            read_note(br#"{"name":"x","version":"1.0-rc.1+b","contract":"1.7","new":[1]}   "#).unwrap();
        assert_eq!((note.name.as_str(), note.contract.minor), ("x", 7));
    }

    #[test]
    fn a_note_with_something_else_in_it_is_refused() {
        assert!(reason(r#"{"name":"\u001b[2J","version":"1","contract":"1.0"}"#).contains("\\u{1b}[2J"));
        assert!(reason(r#"{"name":"x","version":"1\n2","contract":"1.0"}"#).contains("not a version"));
        assert!(reason(r#"{"name":"x","version":"1","contract":"one"}"#).contains("contract version"));
        assert!(reason("not json").contains("expected"));
        assert!(reason(&" ".repeat(5000)).contains("5000 bytes"));
    }

    #[test]
    fn the_name_is_judged_before_the_contract() {
        let note = |contract: &str| Note {
            name: "x".to_owned(),
            version: "1".to_owned(),
            contract: contract.parse().unwrap(),
        };
        let code = |contract, name| judge(&note(contract), name).map_err(|error| error.code());
        assert_eq!(code("1.0", "x"), Ok(()));
        assert_eq!(code("1.99", "x"), Ok(()));
        assert_eq!(code("0.9", "x"), Err("contract-too-old"));
        assert_eq!(code("2.0", "x"), Err("contract-too-new"));
        assert_eq!(code("2.0", "y"), Err("name"));
    }
}
