//! What the machine's engine removes, as it happens: it remembers a few hundred events, which are soon gone on a busy one.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::docker;

/// How long an event may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is removed from a moment on.
pub(crate) struct Removals {
    client: Child,
    events: Receiver<Value>,
}

impl Removals {
    /// Begins now.
    pub(crate) fn watch() -> Self {
        let age = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let since = format!("{}.{:09}", age.as_secs(), age.subsec_nanos());
        let mut command = Command::new("docker");
        command.args(["events", "--filter", "event=destroy", "--format", "{{json .}}", "--since", &since]);
        let mut client = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(client.stdout.take().unwrap()).lines();
        let (sender, events) = channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if sender.send(serde_json::from_str(&line).unwrap()).is_err() {
                    break;
                }
            }
        });
        Self { client, events }
    }

    /// Returns when the last thing of an agent was removed up to now, `had` among them as [`resources_of`](super::resources_of) lists
    /// them; `None` when none was.
    pub(crate) fn last_of(self, agent: &str, had: &[String]) -> Option<SystemTime> {
        // Events come in their order, and this is the last one that matters.
        let mark = format!("e2e-removed-{}", self.client.id());
        docker(&["volume", "create", &mark]);
        docker(&["volume", "rm", &mark]);
        let event = || self.events.recv_timeout(PATIENCE).expect("the engine tells what it removes");
        let before = std::iter::repeat_with(event).take_while(|event| event["Actor"]["ID"] != *mark);
        let ours = before.filter(|event| is_of(event, agent, had));
        ours.map(|event| UNIX_EPOCH + Duration::from_nanos(event["timeNano"].as_u64().unwrap())).max()
    }
}

impl Drop for Removals {
    fn drop(&mut self) {
        self.client.kill().unwrap();
        self.client.wait().unwrap();
    }
}

/// The event of a network or a volume has no labels, and a name may have only the beginning of an agent's.
fn is_of(event: &Value, agent: &str, had: &[String]) -> bool {
    let (actor, about) = (&event["Actor"], &event["Actor"]["Attributes"]);
    let is_named =
        |name: &Value| had.iter().any(|one| one.split_once(' ').is_some_and(|(_, it)| *name == it));
    about["io.claude-bottle.agent"] == agent || is_named(&actor["ID"]) || is_named(&about["name"])
}
