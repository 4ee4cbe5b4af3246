//! The two tables of functions that cross, frozen for the whole of contract 1.
//!
//! A text argument or answer is JSON. An error is a JSON [`crate::Failure`]. `handle` names an opened backend,
//! `call` one call of a verb and `context` the host's side of an opened backend: integers that the owning side
//! looks up, never addresses.

use abi_stable::{
    StableAbi,
    library::RootModule,
    package_version_strings,
    sabi_types::VersionStrings,
    std_types::{RResult, RStr, RString, RVec},
};

/// The symbol a plug-in exports, with the NUL that ends it.
pub const ROOT_SYMBOL: &str = abi_stable::library::ROOT_MODULE_LOADER_NAME_WITH_NUL;

/// What a plug-in offers.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = ModuleRef, prefix_fields = ModuleFields)))]
#[sabi(missing_field(option))]
pub struct Module {
    /// Returns the description; no side effects.
    pub describe: extern "C" fn() -> RString,
    /// Opens the backend.
    pub create: extern "C" fn(HostTableRef, context: u64, config: RStr<'_>) -> RResult<u64, RString>,
    /// `null` → `Probe`.
    pub probe: extern "C" fn(handle: u64, call: u64, payload: RStr<'_>) -> RResult<RString, RString>,
    /// `Spec` → `Plan`.
    pub prepare: extern "C" fn(handle: u64, call: u64, payload: RStr<'_>) -> RResult<RString, RString>,
    /// `Plan` with its `spec` → `Bottle`.
    pub launch: extern "C" fn(handle: u64, call: u64, payload: RStr<'_>) -> RResult<RString, RString>,
    /// `{plan, bottle}`, the plan with its `spec` → `Provisioned`.
    pub provision: extern "C" fn(handle: u64, call: u64, payload: RStr<'_>) -> RResult<RString, RString>,
    /// `{bottle, request}` → `ExitStatus`.
    pub exec: extern "C" fn(handle: u64, call: u64, payload: RStr<'_>) -> RResult<RString, RString>,
    /// `Bottle` → `null`.
    pub close: extern "C" fn(handle: u64, call: u64, payload: RStr<'_>) -> RResult<RString, RString>,
    /// `CleanupScope` → `CleanupPlan`.
    pub prepare_cleanup:
        extern "C" fn(handle: u64, call: u64, payload: RStr<'_>) -> RResult<RString, RString>,
    /// `CleanupPlan` → `CleanupReport`.
    pub cleanup: extern "C" fn(handle: u64, call: u64, payload: RStr<'_>) -> RResult<RString, RString>,
    /// `null` → list of `ActiveBottle`.
    pub list_active: extern "C" fn(handle: u64, call: u64, payload: RStr<'_>) -> RResult<RString, RString>,
    /// Any operation that came with a later minor version, by name.
    pub operation: extern "C" fn(
        handle: u64,
        call: u64,
        operation: RStr<'_>,
        payload: RStr<'_>,
    ) -> RResult<RString, RString>,
    /// Closes the backend; a handle that is not open is ignored.
    #[sabi(last_prefix_field)]
    pub destroy: extern "C" fn(handle: u64),
}

impl RootModule for ModuleRef {
    abi_stable::declare_root_module_statics! {ModuleRef}

    const BASE_NAME: &'static str = "claude_bottle_backend";
    const NAME: &'static str = "claude_bottle_backend";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}

/// What the host offers.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostTableRef, prefix_fields = HostTableFields)))]
#[sabi(missing_field(option))]
pub struct HostTable {
    /// Returns whether records of this level (1 error … 5 trace) are wanted.
    pub enabled: extern "C" fn(context: u64, level: u8) -> bool,
    /// Takes a `LogRecord`.
    pub log: extern "C" fn(context: u64, record: RStr<'_>),
    /// Takes an `Event`.
    pub event: extern "C" fn(call: u64, event: RStr<'_>),
    /// Returns whether the call should end.
    pub cancelled: extern "C" fn(call: u64) -> bool,
    /// Returns a descriptor, owned by the host, that is readable once the call should end; -1 for none.
    pub cancel_fd: extern "C" fn(call: u64) -> i32,
    /// Returns a secret of the spec.
    pub secret: extern "C" fn(call: u64, name: RStr<'_>) -> RResult<RVec<u8>, RString>,
    /// Answers any service, by name.
    #[sabi(last_prefix_field)]
    pub service: extern "C" fn(context: u64, name: RStr<'_>, payload: RStr<'_>) -> RResult<RString, RString>,
}
