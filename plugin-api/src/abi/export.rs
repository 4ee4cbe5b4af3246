//! The plug-in's side: the generated functions, and the macro that exports them.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use abi_stable::library::{__call_root_module_loader, CheckTypeLayout, LibHeader, RootModuleResult};
use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::std_types::{RResult, RStr, RString};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::module::{HostTableRef, Module, ModuleRef};
use super::services::{RemoteServices, failure_to};
use super::{fence, log, operations, size, wire};
use crate::{
    Backend, Call, Context, Description, EnvValue, ErrorExt, Failure, FailureKind, Plan, Result, Spec,
    Subject,
};

/// The static a plug-in exports.
pub type Header = LibHeader;

type Answer = RResult<RString, RString>;

/// What a backend type is called, set by [`crate::export_backend!`].
pub trait Exported: Backend {
    /// The backend's name.
    const NAME: &'static str;
    /// The plug-in's version.
    const VERSION: &'static str;
}

/// Makes the header that [`crate::export_backend!`] exports.
#[expect(unsafe_code, reason = "abi_stable's constructor of a header is unsafe")]
pub const fn header(constructor: extern "C" fn() -> RootModuleResult) -> Header {
    // SAFETY: `constructor` is `root_module::<B>`, whose answer is made from a `ModuleRef`.
    unsafe { LibHeader::from_constructor::<ModuleRef>(constructor, CheckTypeLayout::Yes) }
}

/// Builds the root module of the backend type `B`.
pub extern "C" fn root_module<B: Exported>() -> RootModuleResult {
    __call_root_module_loader(module::<B>)
}

pub(super) fn module<B: Exported>() -> ModuleRef {
    Module {
        describe: describe::<B>,
        create: create::<B>,
        probe: probe::<B>,
        prepare: prepare::<B>,
        launch: launch::<B>,
        provision: provision::<B>,
        exec: exec::<B>,
        close: close::<B>,
        prepare_cleanup: prepare_cleanup::<B>,
        cleanup: cleanup::<B>,
        list_active: list_active::<B>,
        operation: operation::<B>,
        destroy,
    }
    .leak_into_prefix()
}

/// A backend that is open.
struct Instance<B> {
    backend: B,
    /// Whether the host hands the spec to `launch` and `provision`; one of contract 1.0 does not.
    hands_spec: bool,
    host: HostTableRef,
    context: u64,
    /// Dropped after the backend, which may have something to say at its end.
    _log: log::Forwarding,
}

static NEXT: AtomicU64 = AtomicU64::new(1);
static INSTANCES: Mutex<BTreeMap<u64, Arc<dyn Any + Send + Sync>>> = Mutex::new(BTreeMap::new());

fn instances() -> MutexGuard<'static, BTreeMap<u64, Arc<dyn Any + Send + Sync>>> {
    INSTANCES.lock().unwrap_or_else(PoisonError::into_inner)
}

extern "C" fn describe<B: Exported>() -> RString {
    let description = Description::new(B::NAME, B::VERSION, B::CAPABILITIES).settings(B::SETTINGS);
    let text = serde_json::to_string(&description);
    text.unwrap_or_default().into()
}

extern "C" fn create<B: Exported>(
    host: HostTableRef,
    context: u64,
    config: RStr<'_>,
) -> RResult<u64, RString> {
    fence::install_hook();
    let opened = fence::fenced(B::NAME, "open", || {
        let log = log::forward_to(host, context);
        let config: Context = read(config.as_str(), "open")?;
        let hands_spec = config.contract.is_some();
        let instance = Instance { backend: B::open(config)?, hands_spec, host, context, _log: log };
        let handle = NEXT.fetch_add(1, Ordering::Relaxed);
        instances().insert(handle, Arc::new(instance));
        Ok(handle)
    });
    opened.map_err(|failure| failure_to(&failure)).into()
}

extern "C" fn destroy(handle: u64) {
    let instance = instances().remove(&handle);
    // The backend's own drop runs behind the fence as well; there is nobody to report to but the log.
    drop(fence::fenced("", "destroy", || {
        drop(instance);
        Ok(())
    }));
}

/// Runs a verb: finds the backend, reads the payload, calls it behind the fence, writes the answer.
fn run<B: Exported, I: DeserializeOwned, O: Serialize>(
    verb: &str,
    (handle, call): (u64, u64),
    payload: &str,
    body: impl FnOnce(&Instance<B>, &Call, I) -> Result<O>,
) -> Answer {
    let answer = fence::fenced(B::NAME, verb, || {
        let found = instances().get(&handle).cloned().and_then(|any| any.downcast::<Instance<B>>().ok());
        let instance = found.ok_or_else(|| {
            Failure::new(FailureKind::Internal, format!("backend handle {handle} is not open"))
        })?;
        size::check(payload, &format!("what `{verb}` is given"))?;
        let services = RemoteServices { host: instance.host, context: instance.context, call };
        let output = body(&instance, &Call::new(Arc::new(services)), read(payload, verb)?)?;
        let text = serde_json::to_string(&output)
            .failure(FailureKind::Internal, || format!("cannot write the answer of `{verb}`"))?;
        size::fitting(text, &format!("the answer of `{verb}`"))
    });
    answer.map(RString::from).map_err(|failure| failure_to(&failure)).into()
}

fn read<T: DeserializeOwned>(payload: &str, verb: &str) -> Result<T> {
    serde_json::from_str(payload)
        .failure(FailureKind::Invalid, || format!("cannot read what `{verb}` was given"))
}

/// Refuses a spec that relies on a feature the backend does not know.
fn require<B: Backend>(spec: &Spec) -> Result<()> {
    let unknown = spec.requires.iter().find(|feature| !B::FEATURES.contains(&feature.as_str()));
    unknown.map_or(Ok(()), |feature| {
        let message = format!("this backend does not know the feature `{feature}`, which this run relies on");
        Err(Failure::new(FailureKind::Unsupported, message)
            .hint("update the backend's plug-in")
            .about(Subject::Feature(feature.clone())))
    })
}

/// Refuses a variable whose kind is not known: without it an agent would lack what it was granted.
fn know_variables(spec: &Spec) -> Result<()> {
    let unknown = spec.bottle.env.iter().find(|variable| variable.value == EnvValue::Unknown);
    unknown.map_or(Ok(()), |variable| {
        let name = &variable.name;
        let message = format!("this backend does not know the kind of value that the variable `{name}` has");
        Err(Failure::new(FailureKind::Unsupported, message)
            .hint("update the backend's plug-in")
            .about(Subject::Variable(name.clone())))
    })
}

extern "C" fn probe<B: Exported>(handle: u64, call: u64, payload: RStr<'_>) -> Answer {
    run("probe", (handle, call), payload.as_str(), |open: &Instance<B>, call, ()| open.backend.probe(call))
}

extern "C" fn prepare<B: Exported>(handle: u64, call: u64, payload: RStr<'_>) -> Answer {
    run("prepare", (handle, call), payload.as_str(), |open: &Instance<B>, call, spec: Spec| {
        require::<B>(&spec)?;
        know_variables(&spec)?;
        let mut plan = open.backend.prepare(call, &spec)?;
        if !open.hands_spec {
            plan.keep_spec(&spec)?;
        }
        Ok(plan)
    })
}

extern "C" fn launch<B: Exported>(handle: u64, call: u64, payload: RStr<'_>) -> Answer {
    run("launch", (handle, call), payload.as_str(), |open: &Instance<B>, call, plan: Plan| {
        open.backend.launch(call, &plan.find_spec())
    })
}

extern "C" fn provision<B: Exported>(handle: u64, call: u64, payload: RStr<'_>) -> Answer {
    run(
        "provision",
        (handle, call),
        payload.as_str(),
        |open: &Instance<B>, call, input: wire::Provision<'_>| {
            open.backend.provision(call, &input.plan.into_owned().find_spec(), &input.bottle)
        },
    )
}

extern "C" fn exec<B: Exported>(handle: u64, call: u64, payload: RStr<'_>) -> Answer {
    run("exec", (handle, call), payload.as_str(), |open: &Instance<B>, call, input: wire::Exec<'_>| {
        open.backend.exec(call, &input.bottle, &input.request)
    })
}

extern "C" fn close<B: Exported>(handle: u64, call: u64, payload: RStr<'_>) -> Answer {
    run("close", (handle, call), payload.as_str(), |open: &Instance<B>, call, bottle| {
        open.backend.close(call, &bottle)
    })
}

extern "C" fn prepare_cleanup<B: Exported>(handle: u64, call: u64, payload: RStr<'_>) -> Answer {
    run("prepare_cleanup", (handle, call), payload.as_str(), |open: &Instance<B>, call, scope| {
        open.backend.prepare_cleanup(call, &scope)
    })
}

extern "C" fn cleanup<B: Exported>(handle: u64, call: u64, payload: RStr<'_>) -> Answer {
    run("cleanup", (handle, call), payload.as_str(), |open: &Instance<B>, call, plan| {
        open.backend.cleanup(call, &plan)
    })
}

extern "C" fn list_active<B: Exported>(handle: u64, call: u64, payload: RStr<'_>) -> Answer {
    run("list_active", (handle, call), payload.as_str(), |open: &Instance<B>, call, ()| {
        open.backend.list_active(call)
    })
}

extern "C" fn operation<B: Exported>(handle: u64, call: u64, name: RStr<'_>, payload: RStr<'_>) -> Answer {
    let name = name.as_str();
    run(operations::verb(name), (handle, call), payload.as_str(), |open: &Instance<B>, call, payload| {
        operations::run(&open.backend, call, name, payload)
    })
}

/// Exports a [`Backend`] type under a name: `export_backend!(Docker, name = "docker");`.
///
/// Use it once in a crate whose `crate-type` contains `cdylib`. It emits the symbol the host looks for and the
/// ELF note by which `plugin list` knows the file without running it.
#[macro_export]
macro_rules! export_backend {
    ($backend:ty, name = $name:literal) => {
        impl $crate::abi::Exported for $backend {
            const NAME: &'static str = $name;
            const VERSION: &'static str = ::core::env!("CARGO_PKG_VERSION");
        }

        #[cfg(panic = "abort")]
        ::core::compile_error!(
            "a claude-bottle plug-in must be built with panic = \"unwind\": the host relies on its panic fence"
        );

        const _: () = {
            const TEXT: &str = ::core::concat!(
                "{\"name\":\"",
                $name,
                "\",\"version\":\"",
                ::core::env!("CARGO_PKG_VERSION"),
                "\",\"contract\":\"",
                $crate::__contract_literal!(),
                "\"}"
            );

            #[used]
            #[unsafe(link_section = ".note.claude_bottle")]
            static NOTE: $crate::abi::Note<{ TEXT.len().next_multiple_of(4) }> = $crate::abi::note(TEXT);

            #[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
            static HEADER: $crate::abi::Header = $crate::abi::header($crate::abi::root_module::<$backend>);
        };
    };
}

/// Breaks the build when abi_stable looks for another symbol than [`export_backend!`] exports.
const _: () = {
    let (here, there) = (b"_1as_0lib_1header_0root_bmodule_bloader\0", super::ROOT_SYMBOL.as_bytes());
    assert!(here.len() == there.len());
    let mut i = 0;
    while i < here.len() {
        assert!(here[i] == there[i]);
        i += 1;
    }
};
