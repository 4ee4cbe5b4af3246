//! The agent's container as the provisioners see it: copy in, and run a short command.

use claude_bottle_kit::home;
use claude_bottle_plugin_api::{Bottle, Call, Plan, Provisioned, Result};

use crate::config::Config;
pub(crate) use crate::engine::{Body, Output};
use crate::engine::{Engine, ExecSpec, Run, run};
use crate::error::DockerError;
use crate::image::guard::GUEST;
use crate::plan::{BottleState, Planned, place};
use crate::provision::{self, Command, Guest, Task};

/// Copies files into an agent's container, at a time when its sidecar may still be starting.
pub(crate) async fn copy_in(
    engine: &impl Engine,
    config: &Config,
    call: &Call,
    plan: &Planned,
    container: &str,
) -> Result<()> {
    let (guest, task) = (ContainerGuest { engine, container }, task(config, plan, None));
    claude_bottle_engine::unless_cancelled(call, provision::copy_in(&guest, call, &task, config)).await
}

/// Puts the rest into a bottle that was granted to it.
pub(crate) async fn provision(
    engine: &impl Engine,
    config: &Config,
    call: &Call,
    plan: &Plan,
    bottle: &Bottle,
) -> Result<Provisioned> {
    let mut plan = Planned::read(plan)?;
    let bottle: BottleState = bottle.state()?;
    let guest = ContainerGuest { engine, container: &bottle.agent };
    // The plan was made before a look at the image.
    if let Some(user) = bottle.user {
        plan.user = user;
    }
    let task = task(config, &plan, bottle.proxy.as_deref());
    claude_bottle_engine::unless_cancelled(call, provision::set_up(&guest, call, &task, config)).await
}

fn task<'a>(config: &Config, plan: &'a Planned, proxy: Option<&'a str>) -> Task<'a> {
    Task {
        spec: &plan.spec,
        home: &plan.user.home,
        owner: plan.user.ids,
        skills_dir: config.skills_dir(&plan.user.home, home::skills(&plan.spec.agent)),
        place: place(plan),
        has_place: !plan.image.may_be_the_users(),
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

    async fn run(&self, command: Command) -> Result<Output> {
        let spec = ExecSpec {
            command: [GUEST.to_owned()].into_iter().chain(command.words).collect(),
            user: if command.root { "0:0" } else { "" }.to_owned(),
            stdin: !command.input.is_empty(),
            ..ExecSpec::default()
        };
        let output = run(self.engine, self.container, &Run { spec, input: command.input }).await;
        let output = output.map_err(|source| DockerError::RunInside { program: GUEST.to_owned(), source })?;
        if output.code != 0 {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let action = command.action;
            return Err(DockerError::FailedInside { action, code: output.code, output: said }.into());
        }
        Ok(output)
    }
}
