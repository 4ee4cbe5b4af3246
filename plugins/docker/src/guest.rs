//! The agent's container as the provisioners see it: copy in, and run something short.

use claude_bottle_plugin_api::{Bottle, Call, Plan, Provisioned, Result};

use crate::config::Config;
pub(crate) use crate::engine::{Body, Output};
use crate::engine::{Engine, ExecSpec, Run, run};
use crate::error::DockerError;
use crate::plan::{BottleState, PlanState, USER};
use crate::provision::{self, Guest, Script, Task};

/// Copies files into an agent's container, at a time when its sidecar may still be starting.
pub(crate) async fn copy_in(
    engine: &impl Engine,
    config: &Config,
    call: &Call,
    plan: &PlanState,
    container: &str,
) -> Result<()> {
    let (guest, task) = (ContainerGuest { engine, container }, task(config, plan, None));
    crate::cancel::unless_cancelled(call, provision::copy_in(&guest, call, &task, config)).await
}

/// Puts the rest into a bottle that was granted to it.
pub(crate) async fn provision(
    engine: &impl Engine,
    config: &Config,
    call: &Call,
    plan: &Plan,
    bottle: &Bottle,
) -> Result<Provisioned> {
    let plan: PlanState = plan.state()?;
    let bottle: BottleState = bottle.state()?;
    let guest = ContainerGuest { engine, container: &bottle.agent };
    let task = task(config, &plan, bottle.proxy.as_deref());
    crate::cancel::unless_cancelled(call, provision::set_up(&guest, call, &task, config)).await
}

fn task<'a>(config: &'a Config, plan: &'a PlanState, proxy: Option<&'a str>) -> Task<'a> {
    Task {
        spec: &plan.spec,
        home: &plan.home,
        skills_dir: &config.skills_dir,
        workspace: plan.workspace(),
        proxy,
        bytes: plan.bytes,
    }
}

/// A container that runs.
struct ContainerGuest<'a, E> {
    engine: &'a E,
    container: &'a str,
}

impl<E: Engine> Guest for ContainerGuest<'_, E> {
    async fn put(&self, archive: Body) -> Result<()> {
        let put = self.engine.put_archive(self.container, "/", archive).await;
        Ok(put.map_err(|source| DockerError::PutArchive { source })?)
    }

    async fn run(&self, script: Script<'_>) -> Result<Output> {
        let words = ["sh".to_owned(), "-c".to_owned(), script.text.to_owned(), "sh".to_owned()];
        let spec = ExecSpec {
            command: words.into_iter().chain(script.arguments).collect(),
            user: if script.root { "0:0" } else { USER }.to_owned(),
            stdin: !script.input.is_empty(),
            ..ExecSpec::default()
        };
        let output = run(self.engine, self.container, &Run { spec, input: script.input }).await;
        let output = output.map_err(|source| DockerError::RunInside { program: "sh".to_owned(), source })?;
        if output.code != 0 {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(
                DockerError::FailedInside { action: script.action, code: output.code, output: said }.into()
            );
        }
        Ok(output)
    }
}
