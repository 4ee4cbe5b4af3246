//! Another process: this program once more, which reads a task and prints its answer.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use claude_bottle::plugins::{Identity, Loaded, Pins, registry};
use claude_bottle_plugin_api::kit::{Elsewhere, Task, perform};
use claude_bottle_plugin_api::{Failure, FailureKind, Result};
use serde_json::Value;

/// The argument that makes this program the other process; the plug-in's file follows it.
pub(crate) const ARGUMENT: &str = "--perform";

/// Loads a plug-in from its file.
pub(crate) fn load(file: &Path) -> Loaded {
    registry::load_file(file.to_owned(), &Identity::current(), &Pins::default()).unwrap()
}

pub(crate) struct Process(pub(crate) PathBuf);

impl Elsewhere for Process {
    fn run(&self, task: &Task) -> Result<Value> {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(ARGUMENT)
            .arg(&self.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&serde_json::to_vec(task).unwrap()).unwrap();
        let output = child.wait_with_output().unwrap();
        match serde_json::from_slice(&output.stdout) {
            Ok(answer) => answer,
            Err(_) => {
                Err(Failure::new(FailureKind::Internal, format!("the process ended: {}", output.status)))
            }
        }
    }
}

pub(crate) fn serve() -> ExitCode {
    let file = std::env::args_os().nth(2).unwrap();
    let loaded = load(Path::new(&file));
    let task: Task = serde_json::from_reader(std::io::stdin()).unwrap();
    println!("{}", serde_json::to_string(&perform(&loaded.module, &task)).unwrap());
    ExitCode::SUCCESS
}
