//! Runs the checks, some at a time, each in a process of its own: a backend that changes the working directory or hangs
//! spoils nothing for the next one.

use std::path::PathBuf;
use std::process::{Command, ExitCode, Output};
use std::sync::{Mutex, mpsc};
use std::thread;

use crate::{CLAIMING, EXPORTING, FAKE, ONE, WRONG, build, claiming, exporting, wrong};

/// Checks at a time for each processor: most of a check is waiting for a backend that breaks a rule.
const AT_A_TIME: usize = 3;

/// The plug-ins that checks load, by the variable that names them; built before the first check begins.
pub(crate) fn built() -> Vec<(&'static str, PathBuf)> {
    vec![
        (FAKE, build::fake().to_owned()),
        (WRONG, wrong::build()),
        (EXPORTING, exporting::build()),
        (CLAIMING, claiming::build()),
    ]
}

/// Runs the checks of these names, says of each how it ended, and what those that failed printed.
pub(crate) fn run(names: Vec<String>, plugins: &[(&'static str, PathBuf)]) -> ExitCode {
    let n_checks = names.len();
    let workers = thread::available_parallelism().map_or(1, usize::from) * AT_A_TIME;
    let waiting = Mutex::new(names.into_iter());
    let (sender, ended) = mpsc::channel();
    let mut failed = Vec::new();
    thread::scope(|scope| {
        for _ in 0..workers {
            let (sender, waiting, plugins) = (sender.clone(), &waiting, plugins);
            scope.spawn(move || {
                while let Some(name) = next(waiting) {
                    let output = in_process(&name, plugins);
                    sender.send((name, output)).unwrap();
                }
            });
        }
        drop(sender);
        for (name, output) in ended {
            println!("check {name} ... {}", if output.status.success() { "ok" } else { "FAILED" });
            if !output.status.success() {
                print!(
                    "{}{}",
                    String::from_utf8_lossy(&output.stdout),
                    String::from_utf8_lossy(&output.stderr)
                );
                failed.push(name);
            }
        }
    });
    println!("\n{n_checks} checks, {} failed: {}", failed.len(), failed.join(", "));
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Takes the next name; the lock is held for no longer than that.
fn next(waiting: &Mutex<std::vec::IntoIter<String>>) -> Option<String> {
    waiting.lock().unwrap().next()
}

/// Runs one check in a process of its own.
fn in_process(name: &str, plugins: &[(&'static str, PathBuf)]) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([ONE, name]).envs(plugins.iter().map(|(variable, file)| (*variable, file))).output().unwrap()
}
