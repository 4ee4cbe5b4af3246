//! Close, and everything another process may do with a bottle's document.

use serde_json::Value;

use crate::kit::bench::{Bench, Check, Stop, call, ensure};
use crate::kit::elsewhere::{Action, Task, perform};
use crate::kit::program::script;
use crate::{Bottle, Result};

/// Runs an action in another process, or with another instance where there is none.
pub(super) fn elsewhere(bench: &Bench, action: Action) -> Result<Value> {
    let task = Task { context: bench.context(), action };
    match &bench.options.elsewhere {
        Some(elsewhere) => elsewhere.run(&task),
        None => perform(&bench.module, &task),
    }
}

pub(super) fn exec_elsewhere(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = session.bottle()?;
    let answer = elsewhere(bench, Action::Exec(bottle, script("printf there; exit 5", &[])))?;
    ensure!(
        answer["code"] == 5 && answer["stdout"] == "there",
        "`printf there; exit 5` comes to {answer} there"
    );
    Ok(())
}

pub(super) fn close_elsewhere(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = session.bottle()?;
    elsewhere(bench, Action::Close(bottle.clone()))?;
    session.check_nothing_left("another process closed it")?;
    session.opened.close(&call(), &bottle)?;
    Ok(())
}

pub(super) fn launch_elsewhere(bench: &Bench) -> Check {
    let session = bench.session()?;
    let spec = bench.spec()?;
    let plan = session.opened.prepare(&call(), &spec)?;
    let answer = elsewhere(bench, Action::Launch(Box::new(spec.clone()), plan.clone()))?;
    let bottle: Bottle = serde_json::from_value(answer).map_err(|error| Stop::Fail(error.to_string()))?;
    session.opened.provision(&call(), &spec, &plan, &bottle)?;
    session.opened.close(&call(), &bottle)?;
    session.check_nothing_left("closing what another process launched")
}

pub(super) fn removes(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = session.bottle()?;
    session.opened.close(&call(), &bottle)?;
    session.check_nothing_left("closing it")
}

pub(super) fn twice(bench: &Bench) -> Check {
    let session = bench.session()?;
    let bottle = session.bottle()?;
    for _ in 0..3 {
        session.opened.close(&call(), &bottle)?;
    }
    Ok(())
}
