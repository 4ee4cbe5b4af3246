//! The payloads of the verbs that take more than one document.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{Bottle, ExecRequest, Plan};

/// The payload of `provision`.
#[derive(Serialize, Deserialize)]
pub(super) struct Provision<'a> {
    pub(super) plan: Cow<'a, Plan>,
    pub(super) bottle: Cow<'a, Bottle>,
}

/// The payload of `exec`.
#[derive(Serialize, Deserialize)]
pub(super) struct Exec<'a> {
    pub(super) bottle: Cow<'a, Bottle>,
    pub(super) request: Cow<'a, ExecRequest>,
}

/// The name of the host service that says whether an owner is alive.
pub(super) const OWNER_ALIVE: &str = "owner-alive";

/// The key of a service's payload that says which call of a verb asks.
pub(super) const CALL: &str = "call";
