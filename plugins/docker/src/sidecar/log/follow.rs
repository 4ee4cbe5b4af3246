//! Copying a sidecar's decisions into the file while the bottle is open.
//!
//! One task a bottle, on the backend's own threads, ended before the bottle is closed. What it misses or cannot write,
//! [`super::save`] adds at the end.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use claude_bottle_kit::decisions::LogFile;
use futures_util::StreamExt;
use tokio::task::JoinHandle;

use super::masked::Lines;
use crate::engine::{Engine, EngineError};

/// How long to wait before a sidecar that ended is looked at again; the engine may be starting again.
const PAUSE: Duration = Duration::from_secs(1);
/// Up to here the engine has surely kept all, whatever its way of writing the lines costs: it forgets after 32 MB.
const MOST_REPLAYED: u64 = 8 << 20;

/// The bottles whose decisions are copied, by run.
#[derive(Default)]
pub(crate) struct Followers(Mutex<HashMap<String, JoinHandle<()>>>);

impl Followers {
    /// Notes the task of a run.
    pub(crate) fn add(&self, run: String, task: JoinHandle<()>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(run, task);
    }

    /// Ends the task of a run and waits until it is gone, with its connection and its hold on the file.
    pub(crate) async fn end(&self, run: &str) {
        let task = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(run);
        if let Some(task) = task {
            task.abort();
            drop(task.await);
        }
    }
}

/// Copies until the sidecar is gone or the file cannot be written.
pub(crate) async fn follow(engine: Arc<impl Engine>, sidecar: String, dir: PathBuf) {
    let mut done = Progress::default();
    while let Next::Later = copy(&*engine, &sidecar, &dir, &mut done).await {
        loop {
            tokio::time::sleep(PAUSE).await;
            match engine.inspect_container(&sidecar).await {
                Ok(found) if found.running => break,
                Err(error) if error.is_not_found() => return,
                _ => {}
            }
        }
        if done.said > MOST_REPLAYED {
            return;
        }
    }
}

/// How far it has come.
#[derive(Default)]
struct Progress {
    /// How much the sidecar has said in whole lines, which are in the file.
    said: u64,
    /// The size of the file after that.
    size: u64,
}

enum Next {
    Never,
    Later,
}

/// Copies until the sidecar ends or the engine is lost. Holds the file no longer than that.
async fn copy(engine: &impl Engine, sidecar: &str, dir: &Path, done: &mut Progress) -> Next {
    let mut file = match LogFile::open(dir) {
        // Another writer is closing the bottle.
        Ok(Some(file)) if file.size() == done.size => file,
        Ok(_) => return Next::Never,
        Err(error) => return told(&error),
    };
    let mut stream = match engine.follow_output(sidecar).await {
        Ok(stream) => stream,
        Err(error) => return after(&error),
    };
    // The engine begins at the beginning each time.
    let (mut known, mut lines) = (done.said, Lines::default());
    while let Some(said) = stream.next().await {
        let said = match said {
            Ok(said) => said,
            Err(error) => return after(&error),
        };
        let skip = known.min(said.len() as u64);
        known -= skip;
        let new = lines.take(&said[usize::try_from(skip).unwrap_or(said.len())..]);
        // A disk may take its time, and the other bottles' tasks have the same threads.
        if let Err(error) = tokio::task::block_in_place(|| file.append(&new.kept)) {
            return told(&error);
        }
        *done = Progress { said: done.said + new.said, size: file.size() };
    }
    Next::Later
}

fn after(error: &EngineError) -> Next {
    if error.is_not_found() { Next::Never } else { Next::Later }
}

fn told(error: &std::io::Error) -> Next {
    tracing::warn!(%error, "the egress log is written at the end of the run only");
    Next::Never
}
