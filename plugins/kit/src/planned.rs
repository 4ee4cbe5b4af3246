//! A plan as `launch` and `provision` work with it: the run, and what the backend resolved of it.

use std::ops::{Deref, DerefMut};

use claude_bottle_plugin_api::{Plan, Result, Spec};
use serde::de::DeserializeOwned;

/// The run of a plan and the backend's own state of it, which is reached as if it were this.
#[derive(Debug, Clone)]
pub struct Planned<S> {
    /// The run as the host resolved it.
    pub spec: Spec,
    /// What the backend's `prepare` resolved.
    pub state: S,
}

impl<S: DeserializeOwned> Planned<S> {
    /// Reads a plan that the host hands over.
    ///
    /// # Errors
    /// Fails when the run did not come with the plan, or when the state is not this backend's.
    pub fn read(plan: &Plan) -> Result<Self> {
        Ok(Self { spec: plan.spec()?.clone(), state: plan.state()? })
    }
}

impl<S> Deref for Planned<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.state
    }
}

impl<S> DerefMut for Planned<S> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.state
    }
}
