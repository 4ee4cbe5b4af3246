//! The plug-in's side of the host's services.

use std::os::fd::OwnedFd;

use abi_stable::std_types::{RResult, RString};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use zeroize::Zeroize;

use super::module::HostTableRef;
use super::size;
use super::wire::{CALL, OWNER_ALIVE};
use crate::{CallServices, ErrorExt, Event, Failure, FailureKind, Owner, Result, Secret};

/// The host, for one call.
pub(super) struct RemoteServices {
    pub(super) host: HostTableRef,
    pub(super) context: u64,
    pub(super) call: u64,
}

impl CallServices for RemoteServices {
    fn event(&self, event: &Event) {
        if let Some(text) = size::event_text(event) {
            self.host.event()(self.call, text.as_str().into());
        }
    }

    fn cancelled(&self) -> bool {
        self.host.cancelled()(self.call)
    }

    fn cancel_fd(&self) -> Option<OwnedFd> {
        super::borrow_fd(self.host.cancel_fd()(self.call)).ok()
    }

    fn secret(&self, name: &str) -> Result<Secret> {
        match self.host.secret()(self.call, name.into()) {
            RResult::ROk(mut bytes) => {
                let secret = Secret::new(bytes.to_vec());
                bytes.as_mut_slice().zeroize();
                Ok(secret)
            }
            RResult::RErr(text) => Err(failure_from(&text)),
        }
    }

    fn owner_alive(&self, owner: &Owner) -> Result<bool> {
        let payload = serde_json::to_string(owner)
            .failure(FailureKind::Internal, || "cannot write the owner as JSON")?;
        answer(self.host.service()(self.context, OWNER_ALIVE.into(), payload.as_str().into()))
    }

    fn service(&self, name: &str, payload: &Value) -> Result<Value> {
        let mut fields = match payload {
            Value::Null => Map::new(),
            Value::Object(fields) => fields.clone(),
            _ => return Err(Failure::new(FailureKind::Invalid, "what a service is given is not an object")),
        };
        fields.insert(CALL.to_owned(), self.call.into());
        let text = size::fitting(Value::Object(fields).to_string(), "what the service is given")?;
        answer(self.host.service()(self.context, name.into(), text.as_str().into()))
    }
}

/// Reads what came back over the boundary.
pub(super) fn answer<T: DeserializeOwned>(result: RResult<RString, RString>) -> Result<T> {
    match result {
        RResult::ROk(text) => {
            size::check(&text, "the other side's answer")?;
            serde_json::from_str(&text)
                .failure(FailureKind::Internal, || "cannot read the other side's answer")
        }
        RResult::RErr(text) => Err(failure_from(&text)),
    }
}

/// Reads a failure; a text that is none becomes the message of one.
pub(super) fn failure_from(text: &str) -> Failure {
    if let Err(failure) = size::check(text, "the other side's failure") {
        return failure;
    }
    serde_json::from_str(text).unwrap_or_else(|_| Failure::new(FailureKind::Internal, text))
}

/// Writes a failure.
pub(super) fn failure_to(failure: &Failure) -> RString {
    size::failure_text(failure).into()
}
