//! A double for tests: a host that grants every secret, listens to nothing and takes every owner for alive, or every owner for dead.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use claude_bottle_plugin_api::{Call, CallServices, Event, Owner, Result, Secret};

struct Granting {
    secret: fn(&str) -> String,
    owners_live: bool,
}

impl CallServices for Granting {
    fn event(&self, _event: &Event) {}

    fn cancelled(&self) -> bool {
        false
    }

    fn cancel_fd(&self) -> Option<OwnedFd> {
        None
    }

    fn secret(&self, name: &str) -> Result<Secret> {
        Ok(Secret::new((self.secret)(name).into_bytes()))
    }

    fn owner_alive(&self, _owner: &Owner) -> Result<bool> {
        Ok(self.owners_live)
    }
}

/// Returns a call from such a host, with the secret it has for a name.
pub(crate) fn call(secret: fn(&str) -> String) -> Call {
    Call::new(Arc::new(Granting { secret, owners_live: true }))
}

/// Returns a call from a host on which every owner is dead.
pub(crate) fn call_among_the_dead() -> Call {
    Call::new(Arc::new(Granting { secret: |_| String::new(), owners_live: false }))
}
