//! The operations that are methods of [`Backend`]: what the generated `operation` hands to them, by name.
//!
//! The tables of functions are frozen, so a verb of a later minor version is an operation with a typed method on both sides.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Backend, Bottle, Call, ConnectRequest, ErrorExt, ExportRequest, ExportWhat, Failure, FailureKind,
    ReloadRequest, Result,
};

/// The name of [`Backend::halt`].
pub(super) const HALT: &str = "halt";
/// The name of [`Backend::export`].
pub(super) const EXPORT: &str = "export";
/// The name of [`Backend::keep`].
pub(super) const KEEP: &str = "keep";
/// The name of [`Backend::connect`].
pub(super) const CONNECT: &str = "connect";
/// The name of [`Backend::reload`].
pub(super) const RELOAD: &str = "reload";

/// The payload of `halt`, and of `keep`.
#[derive(Serialize, Deserialize)]
pub(super) struct Halt<'a> {
    pub(super) bottle: Cow<'a, Bottle>,
}

/// The payload of `export`.
#[derive(Serialize, Deserialize)]
pub(super) struct Export<'a> {
    pub(super) bottle: Cow<'a, Bottle>,
    pub(super) request: Cow<'a, ExportRequest>,
}

/// The payload of `connect`.
#[derive(Serialize, Deserialize)]
pub(super) struct Connect<'a> {
    pub(super) bottle: Cow<'a, Bottle>,
    pub(super) request: Cow<'a, ConnectRequest>,
}

/// The payload of `reload`.
#[derive(Serialize, Deserialize)]
pub(super) struct Reload<'a> {
    pub(super) bottle: Cow<'a, Bottle>,
    pub(super) request: Cow<'a, ReloadRequest>,
}

/// Returns what an operation is called where a failure names it.
pub(super) fn verb(name: &str) -> &'static str {
    match name {
        HALT => HALT,
        EXPORT => EXPORT,
        KEEP => KEEP,
        CONNECT => CONNECT,
        RELOAD => RELOAD,
        _ => "operation",
    }
}

/// Runs an operation: the method that has its name, or else [`Backend::operation`].
pub(super) fn run<B: Backend>(backend: &B, call: &Call, name: &str, payload: Value) -> Result<Value> {
    match name {
        HALT => {
            let input: Halt<'_> = read(payload, HALT)?;
            written(&backend.halt(call, &input.bottle)?)
        }
        EXPORT => {
            let input: Export<'_> = read(payload, EXPORT)?;
            know_part(&input.request)?;
            written(&backend.export(call, &input.bottle, &input.request)?)
        }
        KEEP => {
            let input: Halt<'_> = read(payload, KEEP)?;
            written(&backend.keep(call, &input.bottle)?)
        }
        CONNECT => {
            let input: Connect<'_> = read(payload, CONNECT)?;
            know_port(&input.request)?;
            written(&backend.connect(call, &input.bottle, &input.request)?)
        }
        RELOAD => {
            let input: Reload<'_> = read(payload, RELOAD)?;
            written(&backend.reload(call, &input.bottle, &input.request)?)
        }
        _ => backend.operation(call, name, payload),
    }
}

/// Refuses an export of a part that this side does not know: another part in its place would be taken for it.
fn know_part(request: &ExportRequest) -> Result<()> {
    if request.what == ExportWhat::Unknown {
        let message = "this backend does not know the part of a bottle that is to be exported";
        return Err(Failure::new(FailureKind::Unsupported, message).hint("update the backend's plug-in"));
    }
    Ok(())
}

/// Refuses the port that no server has.
fn know_port(request: &ConnectRequest) -> Result<()> {
    match request.port {
        0 => Err(Failure::new(FailureKind::Invalid, "`0` is not a port that a server can have")),
        _ => Ok(()),
    }
}

fn read<T: DeserializeOwned>(payload: Value, verb: &str) -> Result<T> {
    serde_json::from_value(payload)
        .failure(FailureKind::Invalid, || format!("cannot read what `{verb}` was given"))
}

fn written(answer: &impl Serialize) -> Result<Value> {
    serde_json::to_value(answer).failure(FailureKind::Internal, || "cannot write the answer of an operation")
}
