//! The plug-in's side of the host's services.

use std::os::fd::OwnedFd;

use abi_stable::std_types::{RResult, RString};
use serde::de::DeserializeOwned;
use zeroize::Zeroize;

use super::module::HostTableRef;
use super::wire::OWNER_ALIVE;
use crate::{CallServices, ErrorExt, Event, Failure, FailureKind, Owner, Result, Secret};

/// The host, for one call.
pub(super) struct RemoteServices {
    pub(super) host: HostTableRef,
    pub(super) context: u64,
    pub(super) call: u64,
}

impl CallServices for RemoteServices {
    fn event(&self, event: &Event) {
        if let Ok(text) = serde_json::to_string(event) {
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
        let payload =
            serde_json::to_string(owner).failure(FailureKind::Internal, || "write the owner as JSON")?;
        answer(self.host.service()(self.context, OWNER_ALIVE.into(), payload.as_str().into()))
    }
}

/// Reads what came back over the boundary.
pub(super) fn answer<T: DeserializeOwned>(result: RResult<RString, RString>) -> Result<T> {
    match result {
        RResult::ROk(text) => {
            serde_json::from_str(&text).failure(FailureKind::Internal, || "read the other side's answer")
        }
        RResult::RErr(text) => Err(failure_from(&text)),
    }
}

/// Reads a failure; a text that is none becomes the message of one.
pub(super) fn failure_from(text: &str) -> Failure {
    serde_json::from_str(text).unwrap_or_else(|_| Failure::new(FailureKind::Internal, text))
}

/// Writes a failure.
pub(super) fn failure_to(failure: &Failure) -> RString {
    serde_json::to_string(failure).unwrap_or_else(|_| failure.to_string()).into()
}
