//! The agent's container as the provisioners see it: copy in, and run something short.

use claude_bottle_plugin_api::Result;

use crate::engine::{Body, Engine, ExecSpec, Output, Run, run};
use crate::error::DockerError;
use crate::plan::USER;
use crate::provision::{Guest, Script};

/// A container that runs.
pub(crate) struct ContainerGuest<'a, E> {
    pub(crate) engine: &'a E,
    pub(crate) container: &'a str,
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
