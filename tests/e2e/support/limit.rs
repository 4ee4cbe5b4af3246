//! How long a test may take: one that hangs is shown with the programs that it waits for, which end, so that it fails and the others go on.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Longer than any test takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(20 * 60);

/// How long a test may take to notice that its programs have ended.
const NOTICED_WITHIN: Duration = Duration::from_secs(120);

/// Dropping it says that the test is over.
pub(crate) struct Limit {
    _over: Sender<()>,
}

impl Limit {
    /// Watches the test of this thread, whose programs have this home directory.
    pub(crate) fn of_this_test(home: &Path) -> Self {
        let (sender, over) = channel::<()>();
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let home = format!("HOME={}\0", home.display());
        std::thread::spawn(move || {
            for wait in [LIMIT, NOTICED_WITHIN] {
                if over.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                end_programs(&test, &home);
            }
            std::process::exit(101);
        });
        Self { _over: sender }
    }
}

/// Ends every program with this in its environment, and prints what it was doing, where the harness does not keep it back.
fn end_programs(test: &str, home: &str) {
    let mut said = format!("\n{test} has taken too long; it waits for:\n");
    for process in fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path()) {
        if read(&process, "environ").contains(home) {
            said += &format!("{}: {}\n", process.display(), read(&process, "cmdline").replace('\0', " "));
            for thread in fs::read_dir(process.join("task")).into_iter().flatten().flatten() {
                let [name, at, call] = ["comm", "wchan", "syscall"].map(|file| read(&thread.path(), file));
                said += &format!("    {}: {at} {}\n", name.trim(), call.trim());
            }
            let pid = process.file_name().and_then(|name| name.to_str()?.parse().ok());
            pid.and_then(Pid::from_raw).map(|pid| kill_process(pid, Signal::KILL).ok());
        }
    }
    std::io::stderr().write_all(said.as_bytes()).ok();
}

fn read(directory: &Path, file: &str) -> String {
    let path: PathBuf = directory.join(file);
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
