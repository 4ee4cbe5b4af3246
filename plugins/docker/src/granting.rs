//! A double for tests: a host that grants every secret, listens to nothing and takes every owner for alive.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use claude_bottle_plugin_api::{Call, CallServices, Event, Owner, Result, Secret};

struct Granting(fn(&str) -> String);

impl CallServices for Granting {
    fn event(&self, _event: &Event) {}

    fn cancelled(&self) -> bool {
        false
    }

    fn cancel_fd(&self) -> Option<OwnedFd> {
        None
    }

    fn secret(&self, name: &str) -> Result<Secret> {
        Ok(Secret::new((self.0)(name).into_bytes()))
    }

    fn owner_alive(&self, _owner: &Owner) -> Result<bool> {
        Ok(true)
    }
}

/// Returns a call from such a host, with the secret it has for a name.
pub(crate) fn call(secret: fn(&str) -> String) -> Call {
    Call::new(Arc::new(Granting(secret)))
}
