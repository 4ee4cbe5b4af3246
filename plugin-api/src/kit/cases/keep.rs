//! Keeping: a halted bottle costs its room on the disk alone, and has its files until it is closed.

use crate::kit::bench::{Bench, Check, call, ensure};
use crate::kit::elsewhere::{Action, Task, perform};
use crate::{BottleState, FailureKind};

use super::export::{bottle, halted, run, workspace_of};

pub(super) fn files(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = bottle(bench, &session)?;
    run(&session, &bottle, "printf new >new; mkdir -p closed; printf shut >closed/file; chmod 0 closed")?;
    let before = halted(&session, &bottle)?;
    ensure!(before.content("new") == Some(b"new"), "what was written last is missing");
    for time in ["first", "second"] {
        let kept = session.opened.keep(&call(), &bottle);
        ensure!(
            kept.is_ok(),
            "the {time} `keep` fails: {}",
            kept.err().map_or_else(String::new, |f| f.message)
        );
    }
    ensure!(workspace_of(&session, &bottle)? == before, "an export after `keep` differs from the one before");
    session.opened.halt(&call(), &bottle)?;
    let task = Task { context: bench.context(), action: Action::Export(bottle.clone()) };
    let answer = match &bench.options.elsewhere {
        Some(elsewhere) => elsewhere.run(&task),
        None => perform(&bench.module, &task),
    }?;
    ensure!(answer["entries"] == before.n_entries, "in another process it has {answer}");
    let runs = session.active()?.iter().any(|active| active.state == BottleState::Running);
    ensure!(!runs, "a bottle that is kept is listed as running");
    let found = session.cleanup_plan(true)?.remove;
    ensure!(!found.is_empty(), "a cleanup of everything does not find what is kept");
    session.opened.close(&call(), &bottle)?;
    let kept = session.opened.keep(&call(), &bottle).map_err(|failure| failure.kind);
    ensure!(kept == Err(FailureKind::NotFound), "of a closed bottle `keep` says {kept:?}");
    Ok(())
}
