//! Checks a header found in a library, and turns it into a module that can be called.

use std::fmt;
use std::sync::Arc;

use abi_stable::StableAbi;
use abi_stable::abi_stability::abi_checking::{AbiInstabilityErrors, check_layout_compatibility};
use abi_stable::library::{AbiHeaderRef, LibHeader, LibraryError, RootModuleError};
use abi_stable::type_layout::TLFieldOrFunction;

use super::host::{HOSTS, HostServices, table};
use super::module::ModuleRef;
use super::opened::Opened;
use super::services::failure_from;
use crate::{Context, Description, Failure, FailureKind, Result};

/// What the symbol [`super::ROOT_SYMBOL`] of a plug-in is the address of.
pub type RawHeader = AbiHeaderRef;

/// Why a library's header is not that of a plug-in this host can call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModuleError {
    /// The header is none, or of another generation of the boundary library.
    Generation {
        /// What this host is built with.
        host: String,
    },
    /// The plug-in switched the layout check off.
    Unchecked,
    /// The plug-in was built with another major version of the contract crate.
    Version {
        /// The host's.
        host: String,
        /// The plug-in's.
        plugin: String,
    },
    /// The functions that cross differ in shape.
    Layout {
        /// The first difference.
        difference: String,
        /// The whole report, for a log.
        report: String,
    },
    /// The plug-in's root module could not be built.
    Constructor {
        /// Its own words.
        reason: String,
    },
}

impl fmt::Display for ModuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Generation { host } => {
                write!(
                    f,
                    "its header is damaged or of another generation than this host's (abi_stable {host})"
                )
            }
            Self::Unchecked => f.write_str("it was built without the layout check"),
            Self::Version { host, plugin } => {
                write!(f, "it was built with plugin-api {plugin}, and this host speaks plugin-api {host}")
            }
            Self::Layout { difference, .. } => {
                write!(f, "its functions differ from this host's: {difference}")
            }
            Self::Constructor { reason } => write!(f, "its root module could not be built: {reason}"),
        }
    }
}

impl std::error::Error for ModuleError {}

/// A plug-in's functions, checked against this host's.
#[derive(Clone, Copy)]
pub struct Module(pub(super) ModuleRef);

impl Module {
    /// Checks generation, version and layout, in this order, and builds the root module.
    ///
    /// # Errors
    /// Says which of the checks failed.
    pub fn check(header: RawHeader) -> Result<Self, ModuleError> {
        let generation = || ModuleError::Generation { host: "0.11".to_owned() };
        if !header.is_valid() {
            return Err(generation());
        }
        let header: &'static LibHeader = header.upgrade().map_err(|_| generation())?;
        let layout = header.layout().ok_or(ModuleError::Unchecked)?;
        match header.init_root_module::<ModuleRef>() {
            Ok(module) => Ok(Self(module)),
            // abi_stable hands its findings out as one long text, so they are made once more.
            Err(LibraryError::AbiInstability(report)) => Err(ModuleError::Layout {
                difference: check_layout_compatibility(ModuleRef::LAYOUT, layout)
                    .err()
                    .and_then(|errors| first_difference(&errors))
                    .unwrap_or_else(|| "see the log at debug level".to_owned()),
                report: report.to_string(),
            }),
            Err(error) => Err(explain(error)),
        }
    }

    /// Makes the module of a backend type of this very program, for the conformance kit.
    #[cfg(feature = "kit")]
    pub fn of<B: super::Exported>() -> Self {
        Self(super::export::module::<B>())
    }

    /// Returns what the plug-in says of itself.
    ///
    /// # Errors
    /// Fails when that is no description.
    pub fn describe(&self) -> Result<Description> {
        let text = self.0.describe()();
        serde_json::from_str(&text).map_err(|error| {
            Failure::new(FailureKind::Invalid, "read the plug-in's description").caused_by(&error)
        })
    }

    /// Opens the backend.
    ///
    /// # Errors
    /// The backend's own failure.
    pub fn open(&self, host: Arc<dyn HostServices>, context: &Context) -> Result<Opened> {
        let context = Context { contract: Some(crate::CONTRACT), ..context.clone() };
        let config = serde_json::to_string(&context).map_err(|error| {
            Failure::new(FailureKind::Internal, "write the backend's context").caused_by(&error)
        })?;
        let context = HOSTS.insert(host);
        match self.0.create()(table(), context, config.as_str().into()).into_result() {
            Ok(handle) => Ok(Opened { module: self.0, handle, context }),
            Err(text) => {
                HOSTS.remove(context);
                Err(failure_from(&text))
            }
        }
    }
}

/// Says in our words what abi_stable found; its own texts run to thousands of lines.
fn explain(error: LibraryError) -> ModuleError {
    match error {
        LibraryError::IncompatibleVersionNumber { expected_version, actual_version, .. } => {
            ModuleError::Version { host: expected_version.to_string(), plugin: actual_version.to_string() }
        }
        LibraryError::RootModule { err: RootModuleError::Returned(inner), .. } => {
            ModuleError::Constructor { reason: inner.to_string() }
        }
        LibraryError::RootModule { err: RootModuleError::Unwound, .. } => {
            ModuleError::Constructor { reason: "it panicked".to_owned() }
        }
        other => ModuleError::Constructor { reason: other.to_string() },
    }
}

/// Names the function or field in which the two first differ, and how.
fn first_difference(errors: &AbiInstabilityErrors) -> Option<String> {
    let error = errors.errors.iter().find(|error| !error.errs.is_empty())?;
    let path: Vec<_> = error.stack_trace.iter().map(|step| name_of(&step.expected)).collect();
    let what: String = format!("{:?}", error.errs.first()?).chars().take(160).collect();
    Some(format!("at `{}`: {what}", path.join(".")))
}

fn name_of(step: &TLFieldOrFunction) -> &str {
    match step {
        TLFieldOrFunction::Field(field) => field.name(),
        TLFieldOrFunction::Function(function) => function.name.as_str(),
    }
}
