//! One rule for what is left over: a thing goes when its run is dead or all are asked for, and stays in any doubt.

use std::collections::HashMap;

use claude_bottle_plugin_api::{
    Call, CleanupItem, CleanupPlan, CleanupScope, Failure, Owner, OwnerState, Result,
};

/// Judges things by their owners, each of which is asked about once.
pub struct Judge<'a> {
    call: &'a Call,
    scope: &'a CleanupScope,
    states: HashMap<Owner, OwnerState>,
}

impl<'a> Judge<'a> {
    /// Makes a judge for one call.
    pub fn new(call: &'a Call, scope: &'a CleanupScope) -> Self {
        Self { call, scope, states: HashMap::new() }
    }

    /// Puts a thing on the side of the plan where its owner belongs, with the reason.
    pub fn place(&mut self, plan: &mut CleanupPlan, item: CleanupItem, owner: Owner) {
        self.place_if(plan, item, owner, |state| *state == OwnerState::Dead);
    }

    /// Does the same with a thing that is known to have ended: it stays for an owner that is alive alone.
    pub fn place_ended(&mut self, plan: &mut CleanupPlan, item: CleanupItem, owner: Owner) {
        self.place_if(plan, item, owner, |state| *state != OwnerState::Alive);
    }

    fn place_if(
        &mut self,
        plan: &mut CleanupPlan,
        mut item: CleanupItem,
        owner: Owner,
        goes: impl FnOnce(&OwnerState) -> bool,
    ) {
        let call = self.call;
        let state = self.states.entry(owner.clone()).or_insert_with(|| call.owner_state(&owner));
        item.reason = state.to_string();
        item.owner = Some(owner);
        let is_taken = goes(state) || self.scope.all;
        if is_taken { plan.remove.push(item) } else { plan.keep.push(item) }
    }
}

/// Makes one failure of those of a removal that went on after each: the first, with the others under it.
///
/// # Errors
/// The failure, if there is one.
pub fn joined(failures: impl IntoIterator<Item = Failure>) -> Result<()> {
    let mut failures = failures.into_iter();
    match failures.next() {
        None => Ok(()),
        Some(first) => Err(first.with_undo(failures.collect())),
    }
}

#[cfg(test)]
mod tests {
    use claude_bottle_plugin_api::FailureKind;

    use super::*;

    #[test]
    fn what_belongs_to_a_live_run_stays_unless_all_is_asked_for() {
        // A detached call knows no owner, and an unknown owner counts as alive.
        let call = Call::detached();
        for all in [false, true] {
            let (scope, mut plan) = (CleanupScope::new(all), CleanupPlan::default());
            let mut judge = Judge::new(&call, &scope);
            judge.place(&mut plan, CleanupItem::new("bottle", "b", "b", ""), Owner::new("here", 1, 1));
            assert_eq!((plan.remove.len(), plan.keep.len()), if all { (1, 0) } else { (0, 1) });
            let item = plan.remove.first().or(plan.keep.first()).unwrap();
            assert_eq!(item.reason, "its run is alive");
        }
    }

    #[test]
    fn of_several_failures_none_is_lost() {
        let failure = |message: &str| Failure::new(FailureKind::Internal, message);
        assert!(joined([]).is_ok());
        let joined = joined([failure("a"), failure("b"), failure("c")]).unwrap_err();
        assert_eq!((joined.message.as_str(), joined.undo.len()), ("a", 2));
    }
}
