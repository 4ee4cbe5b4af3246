//! Maps a plug-in's library and gets at its functions. With `plugin-api/src/abi` the only place with `unsafe`.
//!
//! The library is opened with `RTLD_NOW`, because a symbol missed later ends the process; `RTLD_LOCAL`, so that two
//! plug-ins cannot see each other's symbols; and `RTLD_NODELETE`, because a library with threads and thread-locals cannot be
//! unmapped safely. It is opened by its canonical path: a bare name would be searched in the system's directories,
//! and by descriptor a `$ORIGIN` in its run path would not work.

use std::ffi::c_int;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use claude_bottle_plugin_api::Failure;
use claude_bottle_plugin_api::abi::ROOT_SYMBOL;
use claude_bottle_plugin_api::abi::host::{Module, ModuleError, RawHeader};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use super::guard::Guarded;
use super::preflight::Note;
use super::{printable, shown};

/// `bits/dlfcn.h` of glibc and musl alike; libloading does not name it.
const RTLD_NODELETE: c_int = 0x1000;

/// A plug-in that is loaded and fits this host.
#[derive(Clone)]
pub struct Loaded {
    /// Its functions.
    pub module: Module,
    /// The file, without links.
    pub path: PathBuf,
    /// What it says of itself.
    pub note: Note,
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("path", &self.path).field("note", &self.note).finish_non_exhaustive()
    }
}

/// Why a file that passed the pre-flight could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file was replaced after it was judged.
    #[error("the file was replaced while it was being loaded")]
    Replaced,
    /// A library it needs is not there.
    #[error("it needs the library `{library}`, which is not installed")]
    MissingDependency {
        /// The library's name.
        library: String,
    },
    /// It needs Rust's standard library as a file.
    #[error("it needs Rust's own `{library}`: it was linked with prefer-dynamic")]
    DynamicStd {
        /// The library's name.
        library: String,
    },
    /// A symbol it uses is in none of its libraries.
    #[error("it uses the symbol `{symbol}`, which none of its libraries has")]
    UndefinedSymbol {
        /// The symbol.
        symbol: String,
    },
    /// It was built on a system with a newer C library.
    #[error("it needs {version} of the C library, which is newer than this system's")]
    NewerLibc {
        /// The version it needs: "GLIBC_2.99".
        version: String,
    },
    /// It was built with a newer version of some library.
    #[error("it needs {version} of `{library}`, which is newer than this system's")]
    NewerLibrary {
        /// The library's file.
        library: String,
        /// The version it needs.
        version: String,
    },
    /// The dynamic linker refused it for another reason.
    #[error("the dynamic linker says: {reason}")]
    Dlopen {
        /// Its words.
        reason: String,
    },
    /// It does not export its functions.
    #[error("it carries a plug-in's note, but does not export a plug-in's functions")]
    NoRootSymbol,
    /// Its functions are not those this host calls.
    #[error(transparent)]
    Module(ModuleError),
    /// It does not describe itself.
    #[error("it does not describe itself")]
    Describe(#[source] Box<Failure>),
    /// It says one thing in its note and another when it runs.
    #[error("its note says {note}, and it describes itself as {described}")]
    Contradiction {
        /// By the note.
        note: String,
        /// By its own words.
        described: String,
    },
}

impl LoadError {
    /// Returns a short stable name of the case.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Replaced => "replaced",
            Self::MissingDependency { .. } => "missing-dependency",
            Self::DynamicStd { .. } => "dynamic-std",
            Self::UndefinedSymbol { .. } => "undefined-symbol",
            Self::NewerLibc { .. } => "newer-libc",
            Self::NewerLibrary { .. } => "newer-library",
            Self::Dlopen { .. } => "dlopen",
            Self::NoRootSymbol => "no-root-symbol",
            Self::Module(ModuleError::Generation { .. }) => "generation",
            Self::Module(ModuleError::Unchecked) => "unchecked",
            Self::Module(ModuleError::Version { .. }) => "api-version",
            Self::Module(ModuleError::Layout { .. }) => "layout",
            Self::Module(_) => "constructor",
            Self::Describe(_) => "describe",
            Self::Contradiction { .. } => "contradiction",
        }
    }

    /// Returns what to do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::MissingDependency { library } => {
                format!("install the package that has `{library}`: apt-file search {library}")
            }
            Self::DynamicStd { .. } => {
                "build the plug-in with crate-type = [\"cdylib\"] and without -C prefer-dynamic".to_owned()
            }
            Self::NewerLibc { .. } | Self::NewerLibrary { .. } => {
                "build the plug-in on this system, or on one that is as old".to_owned()
            }
            Self::UndefinedSymbol { .. } => "update the plug-in; this build of it is broken".to_owned(),
            Self::Module(ModuleError::Constructor { .. })
            | Self::Describe(_)
            | Self::Contradiction { .. } => "report this to the plug-in's author".to_owned(),
            Self::NoRootSymbol | Self::Module(_) => format!(
                "rebuild the plug-in against claude-bottle-plugin-api {}",
                claude_bottle_plugin_api::CONTRACT.major
            ),
            Self::Dlopen { reason } if reason.contains("failed to map segment") => {
                "move the plug-in to a file system that is not mounted noexec".to_owned()
            }
            Self::Replaced => "run the command again".to_owned(),
            Self::Dlopen { .. } => return None,
        })
    }
}

/// Loads a file that has passed [`super::guard`] and [`super::preflight`].
///
/// # Errors
/// Says what the dynamic linker or the plug-in itself lacks.
#[expect(
    unsafe_code,
    reason = "mapping a library runs its constructors, and its symbols have the types we say"
)]
pub fn load(guarded: &Guarded, note: Note) -> Result<Loaded, LoadError> {
    check_same(guarded)?;
    // SAFETY: opening a library runs its constructors, which is what the user asked for by selecting a plug-in: the file
    // can be changed by nobody but root and the user, and its headers and note are those of a plug-in for this machine.
    let library = unsafe { Library::open(Some(&guarded.path), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) };
    let library = library.map_err(|error| explain_dlopen(&error))?;
    // SAFETY: the symbol, where it exists, is the address of the static that `export_backend!` emits. `RawHeader` is a
    // reference to such a static; `Module::check` looks at its magic bytes before anything else.
    let header = unsafe { library.get::<RawHeader>(ROOT_SYMBOL) }.map(|symbol| *symbol);
    // Invariant: a library that was mapped once stays mapped, also one that turns out not to fit.
    std::mem::forget(library);
    let module = Module::check(header.map_err(|_| LoadError::NoRootSymbol)?).map_err(explain_module)?;
    check_description(&module, &note)?;
    Ok(Loaded { module, path: guarded.path.clone(), note })
}

/// Fails when the path no longer leads to the file that was judged.
fn check_same(guarded: &Guarded) -> Result<(), LoadError> {
    let there = guarded.path.metadata().map(|m| (m.dev(), m.ino()));
    let here = guarded.file.metadata().map(|m| (m.dev(), m.ino()));
    if there.ok().is_some_and(|there| here.is_ok_and(|here| here == there)) {
        Ok(())
    } else {
        Err(LoadError::Replaced)
    }
}

fn check_description(module: &Module, note: &Note) -> Result<(), LoadError> {
    let description = module.describe().map_err(|failure| LoadError::Describe(Box::new(failure)))?;
    let described =
        Note { name: description.name, version: description.version, contract: description.contract };
    if described == *note {
        return Ok(());
    }
    let text =
        |note: &Note| printable(&format!("`{}` {}, contract {}", note.name, note.version, note.contract));
    Err(LoadError::Contradiction { note: text(note), described: text(&described) })
}

fn explain_module(error: ModuleError) -> LoadError {
    if let ModuleError::Layout { report, .. } = &error {
        tracing::debug!("{report}");
    }
    LoadError::Module(error)
}

/// Says in our words what the dynamic linker found; its own are the source of libloading's error.
fn explain_dlopen(error: &libloading::Error) -> LoadError {
    let source = std::error::Error::source(error).map(ToString::to_string);
    explain_text(&printable(&source.unwrap_or_else(|| error.to_string())))
}

/// Reads glibc's texts (`elf/dl-load.c`, `dl-lookup.c`, `dl-version.c`); they are English as long as nobody in the process
/// calls `setlocale`, and a text that is not known is passed on.
fn explain_text(text: &str) -> LoadError {
    if let Some((library, _)) = text.split_once(": cannot open shared object file") {
        let library = library.rsplit(": ").next().unwrap_or(library).to_owned();
        let rust = library.starts_with("libstd-") || library.starts_with("librustc_");
        return if rust {
            LoadError::DynamicStd { library }
        } else {
            LoadError::MissingDependency { library }
        };
    }
    if let Some((_, symbol)) = text.split_once("undefined symbol: ") {
        let symbol = symbol.split([',', ' ']).next().unwrap_or(symbol).to_owned();
        return LoadError::UndefinedSymbol { symbol };
    }
    if let Some((library, rest)) = text.split_once(": version `")
        && let Some((version, _)) = rest.split_once("' not found")
    {
        let version = version.to_owned();
        if version.starts_with("GLIBC_") {
            return LoadError::NewerLibc { version };
        }
        return LoadError::NewerLibrary { library: library.to_owned(), version };
    }
    LoadError::Dlopen { reason: text.to_owned() }
}

/// Says which file a loaded plug-in is, for a log.
impl std::fmt::Display for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Note { name, version, contract } = &self.note;
        write!(f, "backend `{name}` {version} (contract {contract}) from `{}`", shown(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dynamic_linkers_texts_are_understood() {
        let cases = [
            (
                "libx.so.1: cannot open shared object file: No such file or directory",
                "missing-dependency",
                "`libx.so.1`",
            ),
            (
                "libstd-0a1b.so: cannot open shared object file: No such file or directory",
                "dynamic-std",
                "libstd-0a1b.so",
            ),
            ("/p/a.so: undefined symbol: dep_fn", "undefined-symbol", "`dep_fn`"),
            ("/p/a.so: undefined symbol: dep_fn, version V_1", "undefined-symbol", "`dep_fn`"),
            (
                "/lib/libc.so.6: version `GLIBC_2.99' not found (required by /p/a.so)",
                "newer-libc",
                "GLIBC_2.99",
            ),
            ("/lib/libz.so: version `Z_9' not found (required by /p/a.so)", "newer-library", "Z_9"),
            ("/p/a.so: failed to map segment from shared object", "dlopen", "map segment"),
        ];
        for (text, code, part) in cases {
            let error = explain_text(text);
            assert_eq!(error.code(), code, "{text}");
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
