//! Rules that end by themselves: the guard ends them, whatever became of the program that gave them.

use std::sync::Arc;
use std::time::Duration;

use super::state::Server;
use crate::clock;

/// The longest time between two looks at the clock: it can be set, and does not stop while the machine sleeps.
const LOOK: Duration = Duration::from_secs(1);

/// Ends each rule at its time, for as long as the server lives.
pub async fn end_rules(server: Arc<Server>) {
    let mut changed = server.changes();
    loop {
        let is_next = server.snapshot().config.policy.next_end().is_some();
        tokio::select! {
            () = tokio::time::sleep(LOOK), if is_next => {
                let now = clock::seconds();
                server.narrow(|policy| Some((policy.without_ended(now)?, ()))).await;
            }
            _ = changed.changed() => {}
            () = server.stopped() => return,
        }
    }
}
