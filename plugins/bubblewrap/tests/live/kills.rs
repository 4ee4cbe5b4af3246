//! SIGKILL at any moment of a launch, to the host and to anything below it: nothing survives.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use claude_bottle_plugin_api::{Backend, Call, CleanupScope, SshEntry};
use claude_bottle_standin::descendants;
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, wait};

use crate::support::{AGAIN, Bench, Services, programs};

/// How many rounds there are; 40 unless it is set.
const ROUNDS: &str = "CLAUDE_BOTTLE_TEST_KILLS";

/// In the process that orphans come to, and in the one that is killed: where the rounds are.
const RUNNER: &str = "BUBBLEWRAP_TESTS_RUNNER";
const VICTIM: &str = "BUBBLEWRAP_TESTS_KILLED";

/// How long what was killed may take to be gone.
const PATIENCE: Duration = Duration::from_secs(3);

#[test]
fn nothing_survives_a_kill_at_any_moment_and_depth() {
    let dir = tempfile::tempdir().unwrap();
    let key = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(dir.path().join("key"))
        .status();
    assert!(key.unwrap().success());
    programs();
    // A process of its own, since what other tests leave for a moment would come to this one too.
    let mut runner = again("kills::runner");
    let output = runner.env(RUNNER, dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}

fn again(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(AGAIN, "1");
    command
}

/// Runs in a process of its own: the parent of whatever loses its parent.
#[test]
fn runner() {
    let Some(dir) = std::env::var_os(RUNNER).map(PathBuf::from) else { return };
    set_child_subreaper(Some(getpid())).unwrap();
    let rounds = std::env::var(ROUNDS).map_or(40, |rounds| rounds.parse().unwrap());
    let mut random = Random(u64::from(std::process::id()) | 1 << 40);
    let whole = Round::begin(&dir, "whole").wait_until_ready();
    for number in 0..rounds {
        let round = Round::begin(&dir, &format!("round-{number}"));
        let (delay, choice) = (random.below(whole.as_micros() as u64 * 11 / 10), random.below(3));
        let begun = Instant::now();
        // Microseconds count, which no sleep can tell.
        while begun.elapsed() < Duration::from_micros(delay) {
            std::hint::spin_loop();
        }
        let hit = (choice > 0).then(|| round.kill_below(&mut random)).flatten();
        let told = format!("round {number}, after {delay} µs of {whole:?}: killed {hit:?}, {choice}");
        round.end(choice == 1, &told);
    }
}

/// One bottle on its way, in a process that can be killed.
struct Round {
    dir: PathBuf,
    victim: Child,
}

impl Round {
    /// Starts the victim, and returns when its launch begins.
    fn begin(dir: &Path, name: &str) -> Self {
        let place = dir.join(name);
        fs::create_dir(&place).unwrap();
        fs::copy(dir.join("key"), place.join("key")).unwrap();
        let mut victim = again("kills::victim");
        victim.env(VICTIM, &place).env("TMPDIR", &place).stdin(Stdio::piped()).stdout(Stdio::piped());
        let errors = fs::File::create(place.join("errors")).unwrap();
        let mut round = Self { victim: victim.stderr(errors).spawn().unwrap(), dir: place };
        round.hear('>');
        round
    }

    /// Waits for a character of the victim's; false when it ends first.
    fn hear(&mut self, wanted: char) -> bool {
        let (said, mut byte) = (self.victim.stdout.as_mut().unwrap(), [0]);
        while matches!(said.read(&mut byte), Ok(1)) {
            if byte[0] == wanted as u8 {
                return true;
            }
        }
        false
    }

    fn wait_until_ready(mut self) -> Duration {
        let begun = Instant::now();
        assert!(self.hear('<'), "{}", fs::read_to_string(self.dir.join("errors")).unwrap());
        let whole = begun.elapsed();
        self.end(false, "the whole");
        whole
    }

    /// Kills one of the processes below the victim, and returns which.
    fn kill_below(&self, random: &mut Random) -> Option<String> {
        let below = descendants(self.victim.id());
        let pid = *below.get(random.below(below.len().max(1) as u64) as usize)?;
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        kill_process(Pid::from_raw(i32::try_from(pid).unwrap())?, Signal::KILL).ok();
        Some(String::from_utf8_lossy(&command[..command.len().min(60)]).replace('\0', " "))
    }

    /// Kills the victim, after it has seen what became of its launch or at once, and then does what the reaper does.
    fn end(mut self, sees_it: bool, told: &str) {
        if sees_it {
            self.hear('<');
        }
        self.victim.kill().unwrap();
        self.victim.wait().unwrap();
        let killed = Instant::now();
        let bench = Bench::in_dir(&self.dir);
        let dead = Call::new(Arc::new(Services { dead: true, ..Services::default() }));
        let plan = bench.backend.prepare_cleanup(&dead, &CleanupScope::default()).unwrap();
        let report = bench.backend.cleanup(&dead, &plan).unwrap();
        assert!(report.failures.is_empty(), "{told}: {:?}", report.failures);
        while !left().is_empty() {
            assert!(killed.elapsed() < PATIENCE, "{told}: {:?}", left());
            std::thread::yield_now();
        }
        let bottles = fs::read_dir(bench.bottles()).map(|bottles| bottles.count()).unwrap_or_default();
        assert_eq!(bottles, 0, "{told}");
        fs::remove_dir_all(&self.dir).unwrap();
    }
}

/// Runs in a process of its own, which is killed: makes a bottle with all that has processes.
#[test]
fn victim() {
    let Some(dir) = std::env::var_os(VICTIM).map(PathBuf::from) else { return };
    let bench = Bench::in_dir(&dir);
    let mut spec = bench.spec(&format!("killed-{}", std::process::id()));
    spec.bottle.ssh.push(SshEntry::new("forge", "git.example", dir.join("key")));
    let plan = bench.backend.prepare(&bench.call, &spec).unwrap().with_spec(&spec);
    println!(">");
    let bottle = bench.backend.launch(&bench.call, &plan);
    let outcome = bottle.and_then(|bottle| {
        let provisioned = bench.backend.provision(&bench.call, &plan, &bottle);
        provisioned.or_else(|failure| bench.backend.close(&bench.call, &bottle).and(Err(failure)))
    });
    println!("<{}", outcome.is_ok());
    std::io::stdin().read_exact(&mut [0]).ok();
}

/// What is left of a round: everything that lost its parent is a child of this process now.
fn left() -> Vec<String> {
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
    let left = descendants(std::process::id()).into_iter();
    left.map(|pid| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().replace('\0', " "))
        .collect()
}

/// Marsaglia's xorshift, <https://www.jstatsoft.org/article/view/v008i14>; any even spread does.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound.max(1)
    }
}
