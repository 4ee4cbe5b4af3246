//! `pod`: the guard of a bottle in a Pod. It starts knowing nothing, and is told by the host what it is to let through.

mod control;
mod hub;
mod lifeline;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use bottle_guest::pod::server::Server;
use bottle_guest::pod::{AGENT, BOTTLE_GONE, LIFELINE_LOST, LINK};
use serde_json::json;

use super::run::{hide_memory, runtime, stop_signal, warm_up};
use crate::error::GuardError;
use crate::log::event;
use control::Control;
use hub::Hub;
use lifeline::Lifeline;

/// Guard the bottle of a Pod, as its host says over `knock`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Directory of the volume that both containers have
    #[arg(long, value_name = "DIR", default_value = LINK)]
    link: PathBuf,

    /// Seconds to wait for a host; 0 waits for ever
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,

    /// User of the agent's container
    #[arg(long, value_name = "UID", default_value_t = AGENT)]
    visitor: u32,
}

/// Why a guard ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It was told to.
    Told,
    /// The host is gone.
    LifelineLost,
    /// The agent's process 1 is gone.
    BottleGone,
}

impl End {
    fn word(self) -> &'static str {
        match self {
            Self::Told => "told",
            Self::LifelineLost => "lifeline_lost",
            Self::BottleGone => "bottle_gone",
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Told => 0,
            Self::LifelineLost => LIFELINE_LOST,
            Self::BottleGone => BOTTLE_GONE,
        }
    }
}

pub(super) fn run(args: &Args) -> Result<ExitCode, GuardError> {
    let wrap = |source| GuardError::Process { source };
    hide_memory()?;
    warm_up()?;
    let runtime = runtime()?;
    let (ends, end) = channel();
    runtime.spawn(tell_of_signals(runtime.block_on(async { stop_signal() })?, ends.clone()));
    let lifeline = Lifeline::begin(Duration::from_secs(args.wait), ends.clone()).map_err(wrap)?;
    let control = Arc::new(Control::new(runtime.handle().clone(), lifeline));
    let server = Server::new(Arc::clone(&control)).map_err(wrap)?;
    Hub::open(&args.link, args.visitor, server, ends)?;
    event("waiting", &json!({}));
    let end = end.recv().unwrap_or(End::Told);
    control.stop();
    event("ended", &json!({ "why": end.word() }));
    runtime.shutdown_timeout(super::run::GRACE);
    control.finish();
    Ok(ExitCode::from(end.code()))
}

async fn tell_of_signals(stopping: impl Future<Output = ()>, ends: Sender<End>) {
    stopping.await;
    ends.send(End::Told).ok();
}
