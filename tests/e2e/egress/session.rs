//! A shell in a bottle: the agent's command is `bash`, and what a test writes to its standard input runs inside.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::home::Home;

/// How long a script may run, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(120);

/// Ends the output of a script; its exit code follows.
const END: &str = "--end-of-script-9d1f--";

/// A live bottle.
pub(crate) struct Session {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

/// What a script said, both streams as one.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) text: String,
}

impl Session {
    /// Starts the agent; the bottle may not be up yet when this returns.
    pub(crate) fn start(home: &Home, agent: &str) -> Self {
        Self::start_by(home.command(&["--quiet", "start", agent, "--yes"]), home, agent)
    }

    /// Starts the agent by a command of the test's own; what it says is in the home's `AGENT.stderr`.
    pub(crate) fn start_by(mut command: Command, home: &Home, agent: &str) -> Self {
        let errors = File::create(home.path().join(format!("{agent}.stderr"))).unwrap();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.split(b'\n').map_while(Result::ok) {
                sender.send(String::from_utf8_lossy(&line).into_owned()).ok();
            }
        });
        Self { stdin: child.stdin.take(), child, lines }
    }

    /// Writes a file into the bottle.
    pub(crate) fn write(&mut self, path: &str, text: &str) {
        let said = self.run(&format!("cat > {path} <<'END-OF-FILE'\n{text}\nEND-OF-FILE"));
        assert_eq!(said.code, 0, "{said:?}");
    }

    /// Runs a script inside, in a shell of its own, and waits for its end.
    #[track_caller]
    pub(crate) fn run(&mut self, script: &str) -> Said {
        let stdin = self.stdin.as_mut().unwrap();
        writeln!(stdin, "(\n{script}\n) </dev/null 2>&1; printf '\\n{END} %s\\n' $?").unwrap();
        let mut text = String::new();
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|error| panic!("{error} in:\n{script}\nafter:\n{text}"));
            if let Some(code) = line.strip_prefix(END) {
                let text = text.trim_end().to_owned();
                return Said { code: code.trim().parse().unwrap(), text };
            }
            text.push_str(&line);
            text.push('\n');
        }
    }

    /// Runs a script that must succeed, and returns what it said.
    #[track_caller]
    pub(crate) fn ok(&mut self, script: &str) -> String {
        let said = self.run(script);
        assert_eq!(said.code, 0, "{script}\nsaid:\n{}", said.text);
        said.text
    }

    /// Runs a script that must fail, and returns what it said.
    #[track_caller]
    pub(crate) fn fails(&mut self, script: &str) -> String {
        let said = self.run(script);
        assert_ne!(said.code, 0, "{script}\nsaid:\n{}", said.text);
        said.text
    }

    /// Runs scripts at the same time, each of which must fail: most fail by waiting in vain.
    #[track_caller]
    pub(crate) fn all_fail(&mut self, scripts: &[String]) {
        let begin = |script: &String| format!("( {script}\n) & begun=\"$begun $!\"\n");
        let begun: String = scripts.iter().map(begin).collect();
        let check = "n=0; for pid in $begun; do n=$((n + 1)); ! wait $pid || { echo \"no. $n did not fail\"; exit 1; }; done";
        self.ok(&format!("{begun}{check}"));
    }

    /// Opens another shell in an agent's only bottle.
    pub(crate) fn beside(home: &Home, agent: &str) -> Self {
        Self::start_by(
            home.command(&["--quiet", "exec", agent, "--", "bash"]),
            home,
            &format!("{agent}-beside"),
        )
    }

    /// Sends the program a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Ends the shell if it still runs, waits until the program has ended, and returns its exit code.
    pub(crate) fn ended(mut self) -> Option<i32> {
        drop(self.stdin.take());
        self.child.wait().unwrap().code()
    }

    /// Ends the shell and waits until the bottle is gone.
    pub(crate) fn end(mut self) {
        drop(self.stdin.take());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // After a failed test: the program's reaper clears the bottle up.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
