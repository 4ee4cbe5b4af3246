//! Writes the crate of a new backend: one that builds, loads and keeps every rule of the contract before a line of it is
//! changed.
//!
//! The templates are in `host/templates/plugin`. A test builds them and runs the conformance kit, and compares them with what
//! `docs/plugin-authors.md` shows, so that neither can rot.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{PluginError, find, shown};

/// The files, by their place in the crate.
const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../../templates/plugin/Cargo.toml.in")),
    ("README.md", include_str!("../../templates/plugin/README.md.in")),
    (".gitignore", include_str!("../../templates/plugin/.gitignore.in")),
    ("src/lib.rs", include_str!("../../templates/plugin/src/lib.rs.in")),
    ("src/backend.rs", include_str!("../../templates/plugin/src/backend.rs.in")),
    ("src/bottles.rs", include_str!("../../templates/plugin/src/bottles.rs.in")),
    ("src/files.rs", include_str!("../../templates/plugin/src/files.rs.in")),
    ("src/processes.rs", include_str!("../../templates/plugin/src/processes.rs.in")),
    ("tests/conformance.rs", include_str!("../../templates/plugin/tests/conformance.rs.in")),
];

/// Names in the scope of the template's `backend.rs`, which the backend's type must not have.
const TAKEN: &[&str] = &[
    "ActiveBottle",
    "AgentSpec",
    "Backend",
    "Bottle",
    "BottleSpec",
    "BottleState",
    "Bottles",
    "Call",
    "CallServices",
    "Capability",
    "CleanupItem",
    "CleanupPlan",
    "CleanupReport",
    "CleanupScope",
    "Command",
    "ConnectRequest",
    "Connected",
    "Context",
    "ContractVersion",
    "Description",
    "EgressSpec",
    "EnvValue",
    "EnvVar",
    "Err",
    "EntryKind",
    "EntryPath",
    "Event",
    "EventState",
    "ExecIo",
    "ExecRequest",
    "ExecRole",
    "ExitStatus",
    "ExportRequest",
    "ExportWhat",
    "Exported",
    "Fact",
    "Failure",
    "FailureKind",
    "Health",
    "IndexEntry",
    "Judge",
    "Limits",
    "LogLevel",
    "LogRecord",
    "Mutex",
    "None",
    "Ok",
    "Option",
    "Owner",
    "OwnerState",
    "Plan",
    "Probe",
    "Provisioned",
    "Proxy",
    "Record",
    "Restore",
    "Result",
    "Secret",
    "SecretSpec",
    "Self",
    "Some",
    "Spec",
    "Step",
    "String",
    "Subject",
    "Vec",
    "Workspace",
];

/// The version of claude-bottle-kit, which is released with the host.
const KIT: &str = concat!(env!("CARGO_PKG_VERSION_MAJOR"), ".", env!("CARGO_PKG_VERSION_MINOR"));

/// Where a new crate takes claude-bottle-plugin-api and claude-bottle-kit from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Api {
    /// From the registry, by its major version.
    Registry,
    /// From a directory, such as a checkout of the project.
    Directory(PathBuf),
}

impl Api {
    /// Returns the checkout the running binary was built in, or the registry where it was not built in one.
    pub fn of(executable: &Path) -> Self {
        let candidates = executable.ancestors().map(|directory| directory.join("plugin-api"));
        let mut checkouts = candidates.filter(|directory| directory.join("src/abi/module.rs").is_file());
        checkouts.next().map_or(Self::Registry, Self::Directory)
    }

    fn dependency(&self) -> String {
        let version = claude_bottle_plugin_api::CONTRACT.major;
        match self {
            Self::Registry => format!("version = \"{version}\""),
            Self::Directory(path) => format!("path = {}, version = \"{version}\"", toml_text(path)),
        }
    }

    /// Returns where what backends share comes from: the same place.
    fn kit(&self) -> String {
        match self {
            Self::Registry => format!("version = \"{KIT}\""),
            Self::Directory(path) => {
                let kit = path.parent().unwrap_or(path).join("plugins/kit");
                format!("path = {}, version = \"{KIT}\"", toml_text(&kit))
            }
        }
    }
}

/// Writes a path as a text of TOML, whose basic strings are those of JSON.
fn toml_text(path: &Path) -> String {
    serde_json::Value::from(path.to_string_lossy()).to_string()
}

/// Why no crate was written.
#[derive(Debug, thiserror::Error)]
pub enum ScaffoldError {
    /// The name is none.
    #[error(transparent)]
    Name(#[from] PluginError),
    /// Something is there already.
    #[error("`{}` exists and is not an empty directory", shown(.path))]
    Exists {
        /// What is there.
        path: PathBuf,
    },
    /// A file cannot be written.
    #[error("cannot write `{}`", shown(.path))]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

/// Writes the crate of a backend called `name` into `directory`, which is made, and returns the files.
///
/// # Errors
/// Fails on a name that is none, and where there is something already.
pub fn scaffold(directory: &Path, name: &str, api: &Api) -> Result<Vec<PathBuf>, ScaffoldError> {
    find::check_name(name)?;
    if directory.symlink_metadata().is_ok() && !is_empty_directory(directory) {
        return Err(ScaffoldError::Exists { path: directory.to_owned() });
    }
    let mut written = Vec::new();
    for (file, text) in files(name, api) {
        let path = directory.join(file);
        let parent = path.parent().unwrap_or(directory);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, text))
            .map_err(|source| ScaffoldError::Write { path: path.clone(), source })?;
        written.push(path);
    }
    Ok(written)
}

/// Returns the files of a new crate with their texts.
pub fn files(name: &str, api: &Api) -> Vec<(&'static str, String)> {
    let fill = |text: &str| {
        text.replace("@api@", &api.dependency())
            .replace("@kit@", &api.kit())
            .replace("template-name", name)
            .replace("template_name", &name.replace('-', "_"))
            .replace("TemplateName", &type_name(name))
    };
    FILES.iter().map(|(file, text)| (*file, fill(text))).collect()
}

/// Makes a type's name of a backend's: `my-engine` becomes `MyEngine`.
fn type_name(name: &str) -> String {
    let words = name.split('-').filter(|word| !word.is_empty());
    let name: String = words.map(|word| word[..1].to_ascii_uppercase() + &word[1..]).collect();
    if TAKEN.contains(&name.as_str()) { format!("{name}Backend") } else { name }
}

fn is_empty_directory(path: &Path) -> bool {
    fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_types() {
        for (name, wanted) in
            [("shed", "Shed"), ("my-engine-2", "MyEngine2"), ("a--b-", "AB"), ("plan", "PlanBackend")]
        {
            assert_eq!(type_name(name), wanted);
        }
    }

    #[test]
    fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        scaffold(&dir.path().join("new/crate"), "shed", &Api::Registry).unwrap();
        let again = scaffold(&dir.path().join("new/crate"), "shed", &Api::Registry).unwrap_err();
        assert!(matches!(again, ScaffoldError::Exists { .. }), "{again}");
        let bad = scaffold(&dir.path().join("other"), "Shed", &Api::Registry).unwrap_err();
        assert!(matches!(bad, ScaffoldError::Name(_)), "{bad}");
        assert!(!dir.path().join("other").exists());
    }

    #[test]
    fn no_placeholder_is_left() {
        for (file, text) in files("my-engine", &Api::Directory("/a \"b\"/plugin-api".into())) {
            for left in ["template", "Template", "@"] {
                assert!(!text.contains(left), "{left} in {file}");
            }
        }
    }

    #[test]
    fn a_binary_in_a_checkout_finds_its_plugin_api() {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let found = Api::of(&checkout.join("target/debug/claude-bottle"));
        assert_eq!(found, Api::Directory(checkout.join("plugin-api")));
        assert_eq!(Api::of(Path::new("/usr/bin/claude-bottle")), Api::Registry);
    }
}
