//! What happens when things go wrong, on a real engine: a failure, an interrupt or a SIGKILL at every step of every verb, with
//! and without the process that watches a run; many bottles at once; several commands at one bottle. Nothing stays behind.
//!
//! The steps are asked of the backend itself (a fault it does not know lists them), so a new step is tested at once.

mod crowd;
mod hundred;
mod kill;
mod meeting;
mod namespaces;
mod orphans;
mod rounds;
pub(crate) mod run;
mod undo;

use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use claude_bottle_standin::{Script, Standin};

use crate::support::backend::Backend;
use crate::support::home::Home;
use crate::support::{assert_code, engine, run as call, standin, stderr};

/// How many bottles a test has at once: the engine has about thirty networks for all, and a bottle takes two.
const AT_ONCE: usize = 4;

/// Room in the engine: many tests may share it, or one that needs much has it for itself.
static ROOM: RwLock<()> = RwLock::new(());

fn shared_room() -> RwLockReadGuard<'static, ()> {
    ROOM.read().unwrap_or_else(PoisonError::into_inner)
}

fn whole_room() -> RwLockWriteGuard<'static, ()> {
    ROOM.write().unwrap_or_else(PoisonError::into_inner)
}

/// Where a bottle's guard runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// On this machine, as is usual here.
    Host,
    /// In a container of its own.
    Sidecar,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Sidecar => "sidecar",
        }
    }

    /// Makes the home of one agent, with more lines of it.
    fn home(self, agent: &str, api: &Standin, more: &str) -> Home {
        match self {
            Self::Host => Home::with_agent(agent, api.address(), more),
            Self::Sidecar => Home::with_sidecar(agent, api.address(), more),
        }
    }
}

/// A step of a verb, as the backend names it.
#[derive(Debug, Clone)]
struct Step {
    verb: String,
    name: String,
}

/// The stand-in for the API, which these agents never ask.
fn api() -> Standin {
    standin(Backend::Docker, Script { reply: "unused".to_owned(), run: None })
}

/// Asks the backend which steps a bottle has whose guard runs there.
fn steps(way: Way) -> Vec<Step> {
    let (agent, api) = ("e2e-steps", api());
    let home = Home::with_agent(agent, api.address(), "");
    let mut command = home.command(&["start", agent, "--dry-run"]);
    let output = call(command.env("CLAUDE_BOTTLE_FAULT", "after:no-such-step"));
    assert_code(&output, 125);
    let text = stderr(&output);
    let own = format!("hint: with `guard: {}` in ", way.name());
    let list = |line: &'_ str| -> Option<(String, String)> {
        let line = line.strip_prefix("hint: in ").or_else(|| line.strip_prefix(&own))?;
        line.split_once(": ").map(|(verb, names)| (verb.to_owned(), names.to_owned()))
    };
    let lists = text.lines().filter_map(list);
    let of_verb = |(verb, names): (String, String)| {
        let step = |name: &str| Step { verb: verb.clone(), name: name.to_owned() };
        names.split(", ").map(step).collect::<Vec<_>>()
    };
    let steps: Vec<_> = lists.flat_map(of_verb).collect();
    let own = if way == Way::Host { "start-guard" } else { "start-sidecar" };
    assert!(steps.iter().any(|step| step.name == own), "no `{own}` in:\n{text}");
    for verb in ["launch", "provision", "exec", "close"] {
        assert!(steps.iter().any(|step| step.verb == verb), "no step of `{verb}` in:\n{text}");
    }
    steps
}

/// Does something with each item, a few at a time.
fn few_at_a_time<T: Send>(items: impl IntoIterator<Item = T, IntoIter: Send>, act: impl Fn(T) + Sync) {
    let items = Mutex::new(items.into_iter());
    let next = || items.lock().unwrap().next();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(item) = next() {
                    act(item);
                }
            });
        }
    });
}

/// Fails when anything of a run is left: in the engine, among its scratch files, or half-written in its records.
#[track_caller]
fn assert_nothing_left(home: &Home, agent: &str, when: &str) {
    let nothing = Vec::<String>::new();
    assert_eq!(engine::resources_of(agent), nothing, "{when}");
    assert_eq!(home.guards(), nothing, "{when}");
    assert_eq!(home.left_in_tmp(), nothing, "{when}");
    for id in home.runs() {
        assert_eq!(home.record(&id)["phase"], "ended", "{when}");
        let half_written = |name: &String| name.starts_with(".tmp") || name.ends_with(".tmp");
        let files: Vec<_> = home.files_of(&id).into_iter().filter(half_written).collect();
        assert_eq!(files, nothing, "{when}");
    }
}
