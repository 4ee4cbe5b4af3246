//! `forward`: ports of a bottle's loopback, on the loopback of this machine.

mod listen;
mod serve;

use std::process::ExitCode;

use claude_bottle_plugin_api::{BottleState, Capability};
use serde::Serialize;

use super::active::find;
use super::app::Calls;
use super::selection::Called;
use super::{App, Format};
use crate::error::{CliError, CliResult, Exit};
use crate::run::backend::Backend;
use listen::{Entrance, Wanted};
use serve::Forward;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  claude-bottle forward dev 5173          the bottle's port 5173, under the same number here
  claude-bottle forward dev 5173:8080     the bottle's port 5173, here 8080
  claude-bottle forward dev 3000 5173     two at once
  claude-bottle forward dev 3000 --format json | jq -r --unbuffered .url

Prints a URL for each port, in their order, and goes on until the bottle has ended, or until Ctrl-C.
It listens on 127.0.0.1 alone: what runs on this machine may connect, and nothing else.")]
pub(super) struct Args {
    /// The bottle: its name, its run's id, or its agent when only one runs
    bottle: String,
    /// The port in the bottle, then the one here; left out or 0, that is the same number, or a free one if it is taken
    #[arg(required = true, value_name = "PORT[:HOSTPORT]")]
    ports: Vec<Wanted>,
    /// Output format (json is one object per line)
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// A port that is open. Its keys are a contract.
#[derive(Serialize)]
struct PortView {
    port: u16,
    host_port: u16,
    url: String,
}

pub(super) fn run(app: &App, args: &Args) -> CliResult<ExitCode> {
    let row = find(app, &args.bottle)?;
    let calls = Calls::new(app)?;
    let backend = app.open(&row.backend, &calls)?;
    check(&backend)?;
    if row.bottle.state != BottleState::Running {
        let message = format!("the bottle `{}` does not run", row.name());
        return Err(CliError::new(Exit::Failed, message).hint("claude-bottle list active"));
    }
    let entrances = args.ports.iter().map(|wanted| listen::open(*wanted)).collect::<CliResult<Vec<_>>>()?;
    let forward = Forward::new(app, &backend, &row)?;
    for entrance in &entrances {
        show(app, args.format, entrance)?;
    }
    forward.run(entrances)
}

fn check(backend: &Backend) -> CliResult {
    if backend.offers(&Capability::CONNECT) {
        return Ok(());
    }
    let (name, capability) = (backend.name(), Capability::CONNECT);
    let message = format!("the {name} backend does not offer `{}`", capability.as_str());
    Err(CliError::new(Exit::Failed, message).hint("see what each backend is: claude-bottle plugin list"))
}

fn show(app: &App, format: Format, entrance: &Entrance) -> CliResult {
    let (port, host_port) = (entrance.port, entrance.host_port);
    let url = format!("http://127.0.0.1:{host_port}");
    if entrance.is_other {
        app.ui.status(&format!("port {port} cannot be had here: the bottle's is at {host_port}"));
    }
    match format {
        Format::Text => app.ui.data(&url),
        Format::Json => {
            let view = serde_json::to_string(&PortView { port, host_port, url });
            app.ui.data(&view.map_err(anyhow::Error::from)?);
        }
    }
    Ok(())
}
