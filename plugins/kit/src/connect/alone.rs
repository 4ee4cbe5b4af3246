//! The call of a program that belongs to a connection: it ends with the connection, and cannot suspend the host.

use std::io::{PipeReader, PipeWriter};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use claude_bottle_plugin_api::{
    Call, CallServices, ErrorExt, Event, Failure, FailureKind, Owner, OwnerState, Result, Secret,
};

/// Services of such a call. The agent can stop the program in its bottle, which must not stop the host: the service that suspends
/// it is not passed on.
pub(super) struct Alone {
    call: Call,
    ended: PipeReader,
    /// Held until the end.
    lasting: Mutex<Option<PipeWriter>>,
}

impl Alone {
    pub(super) fn new(call: &Call) -> Result<Self> {
        let pipe = std::io::pipe().failure(FailureKind::Internal, || "cannot make a pipe");
        let (ended, lasting) = pipe?;
        Ok(Self { call: call.clone(), ended, lasting: Mutex::new(Some(lasting)) })
    }

    /// Ends the call.
    pub(super) fn end(&self) {
        // A pipe without a writer stays readable.
        drop(self.lasting.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl CallServices for Alone {
    fn event(&self, event: &Event) {
        self.call.event(event);
    }

    fn cancelled(&self) -> bool {
        self.call.cancelled() || self.lasting.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    fn cancel_fd(&self) -> Option<OwnedFd> {
        self.ended.try_clone().ok().map(OwnedFd::from)
    }

    fn secret(&self, name: &str) -> Result<Secret> {
        self.call.secret(name)
    }

    fn owner_alive(&self, owner: &Owner) -> Result<bool> {
        match self.call.owner_state(owner) {
            OwnerState::Unclear { reason } => Err(Failure::new(FailureKind::NotFound, reason)),
            state => Ok(state == OwnerState::Alive),
        }
    }
}
