//! Rounds of three bottles at once, each killed at a random moment between its first step and its agent's run.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use claude_bottle_standin::descendants;
use rustix::process::{WaitOptions, getpid, set_child_subreaper, wait};

use super::run::Run;
use super::{few_at_a_time, shared_room};
use crate::support::assert_code;
use crate::support::backend::Backend;
use crate::support::home::Home;

/// How many rounds there are; 12 unless it is set.
const ROUNDS: &str = "CLAUDE_BOTTLE_TEST_ROUNDS";

/// In a process of its own, to which what loses its parent comes: the backend.
const RUNNER: &str = "E2E_ROUNDS_RUNNER";

/// How soon after a SIGKILL nothing of a run may be left; on a machine on which an orderly start and end take long at that
/// time, as long as two of them.
const GONE_WITHIN: Duration = Duration::from_secs(3);

/// How long a watching process may look at an engine that has nothing left of its run.
const WATCHED_AT_MOST: Duration = Duration::from_secs(100);

#[test]
fn nothing_is_left_after_random_kills_on_docker() {
    println!("{}", in_a_process_of_its_own(Backend::Docker));
}

#[test]
fn nothing_is_left_after_random_kills_on_bubblewrap() {
    println!("{}", in_a_process_of_its_own(Backend::Bubblewrap));
}

#[test]
fn nothing_is_left_after_random_kills_on_podman() {
    println!("{}", in_a_process_of_its_own(Backend::Podman));
}

/// Returns what the rounds took.
fn in_a_process_of_its_own(backend: Backend) -> String {
    let _room = shared_room();
    let mut runner = Command::new(std::env::current_exe().unwrap());
    runner.args(["--exact", "failure::rounds::runner", "--nocapture"]).env(RUNNER, backend.name());
    let output = runner.stdin(Stdio::null()).output().unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{errors}");
    said.into_owned()
}

/// Runs in a process of its own.
#[test]
fn runner() {
    let Ok(name) = std::env::var(RUNNER) else { return };
    let all = [Backend::Docker, Backend::Bubblewrap, Backend::Podman];
    let backend = all.into_iter().find(|backend| backend.name() == name).unwrap();
    set_child_subreaper(Some(getpid())).unwrap();
    let agent = format!("e2e-rounds-{name}-{}", std::process::id());
    let home = Home::new(&format!(
        "bottles:\n  dev: {{}}\nagents:\n  {agent}: {{ bottle: dev, command: [sh, -c, echo started; cat] }}\n"
    ));
    let mut bench = Bench { backend, home: &home, agent: &agent, whole: Duration::ZERO };
    bench.measure();
    let rounds = std::env::var(ROUNDS).map_or(12, |rounds| rounds.parse().unwrap());
    let mut slowest = Duration::ZERO;
    for round in 0..rounds {
        few_at_a_time(0..3, |_| bench.kill_one());
        slowest = slowest.max(bench.until_nothing_is_left(round));
    }
    let begun = Instant::now();
    while !left(|_| true).is_empty() {
        assert!(begun.elapsed() < WATCHED_AT_MOST, "{:?}", left(|_| true));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(backend.left(&home, &agent), Vec::<String>::new());
    println!(
        "{rounds} rounds on {name}: a start and an end take {:?}, the slowest removal took {slowest:?}",
        bench.whole
    );
}

/// What all rounds share.
struct Bench<'a> {
    backend: Backend,
    home: &'a Home,
    agent: &'a str,
    /// How long a run takes that nobody disturbs.
    whole: Duration,
}

impl Bench<'_> {
    fn start(&self) -> Run {
        Run::start(&mut self.backend.command(self.home, &["start", self.agent, "--yes"]))
    }

    /// Measures a run that nobody disturbs.
    fn measure(&mut self) {
        let begun = Instant::now();
        let mut run = self.start();
        run.wait_for("started");
        assert_code(&run.end(), 0);
        self.whole = begun.elapsed();
    }

    fn kill_one(&self) {
        let run = self.start();
        let chance = RandomState::new().hash_one(std::thread::current().id());
        // There is no event for "any moment".
        std::thread::sleep(Duration::from_micros(chance % self.whole.as_micros() as u64));
        run.kill();
    }

    /// Waits until nothing but watching processes is left of all runs, and returns how long that took.
    fn until_nothing_is_left(&mut self, round: u32) -> Duration {
        let killed = Instant::now();
        let (mut bound, mut is_measured) = (GONE_WITHIN.max(2 * self.whole), false);
        loop {
            let mut all = left(|command| !stays(command));
            // A stage directory that no record names yet is of no run; it holds no secret.
            all.extend(self.backend.left(self.home, self.agent));
            let took = killed.elapsed();
            match (all.is_empty(), took < bound, is_measured) {
                (true, ..) => return took,
                (_, true, _) => std::thread::sleep(Duration::from_millis(20)),
                // The machine may have more to do by now than at the first measure: as long again as five orderly runs take now.
                // What is never removed is left then too.
                (.., false) => {
                    self.measure();
                    bound = killed.elapsed() + 5 * self.whole;
                    is_measured = true;
                }
                (.., true) => panic!("round {round}: {took:?} of {bound:?} after the kill there is {all:?}"),
            }
        }
    }
}

/// Returns `true` if a process is none of a run's: it watches, or is a service of Podman's, which ends when nothing asks it any more.
fn stays(command: &str) -> bool {
    ["\0reap\0", "\0system\0service\0"].iter().any(|word| command.contains(word))
}

/// Names the processes of all runs that are still there: each has come to this process by now, or is below one that has.
fn left(counts: impl Fn(&str) -> bool) -> Vec<String> {
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
    let left = descendants(std::process::id()).into_iter();
    let commands = left.filter_map(|pid| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok());
    commands.filter(|command| counts(command)).map(|command| command.replace('\0', " ")).collect()
}
