//! Other processes, other owners, sudden deaths.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use claude_bottle_plugin_api::{
    Backend, Bottle, BottleState, CleanupScope, Context, ExecRequest, ExecRole, FailureKind,
};

use crate::support::{Bench, Services, text};

/// In a process of its own: where its bench is.
const VICTIM: &str = "BUBBLEWRAP_TESTS_VICTIM";

#[test]
fn another_process_can_use_and_close_the_bottle() {
    let bench = Bench::new();
    let live = bench.launch(&bench.spec("handed"));
    let document = serde_json::to_string(&live.bottle).unwrap();
    let bottle: Bottle = serde_json::from_str(&document).unwrap();
    let mut context = Context::default();
    context.data_dir = bench.dir.path().join("data");
    let other = claude_bottle_backend_bubblewrap::Bubblewrap::open(context).unwrap();
    let active = other.list_active(&bench.call).unwrap();
    assert_eq!((active.len(), active[0].state, active[0].id.as_str()), (1, BottleState::Running, "handed"));
    let out = tempfile::tempfile().unwrap();
    let mut request = ExecRequest::new(vec!["echo".to_owned(), "hi".to_owned()], ExecRole::Command);
    request.streams = [0, out.as_raw_fd(), out.as_raw_fd()];
    assert_eq!(other.exec(&bench.call, &bottle, &request).unwrap().code, 0);
    assert_eq!(text(out.try_clone().unwrap()), "hi\n");
    other.close(&bench.call, &bottle).unwrap();
    assert!(other.list_active(&bench.call).unwrap().is_empty());
    let failure = other.exec(&bench.call, &bottle, &request).unwrap_err();
    assert!(matches!(failure.kind, FailureKind::NotFound | FailureKind::Missing), "{failure:?}");
}

#[test]
fn a_program_whose_bottle_is_closed_is_told_so_as_on_every_backend() {
    let bench = Bench::new();
    let live = bench.launch(&bench.spec("closed"));
    let (mut reader, writer) = std::io::pipe().unwrap();
    let null = File::open("/dev/null").unwrap();
    let command = ["sh", "-c", "echo; sleep 1000"].map(str::to_owned);
    let mut request = ExecRequest::new(command.into(), ExecRole::Command);
    request.streams = [null.as_raw_fd(), writer.as_raw_fd(), null.as_raw_fd()];
    std::thread::scope(|scope| {
        let running = scope.spawn(|| bench.backend.exec(&bench.call, &live.bottle, &request));
        reader.read_exact(&mut [0]).unwrap();
        live.close();
        let failure = running.join().unwrap().unwrap_err();
        let expected = claude_bottle_kit::closed("sh");
        assert_eq!((failure.kind, failure.message), (expected.kind, expected.message));
    });
}

#[test]
fn a_bottle_is_removed_only_when_its_owner_is_gone() {
    let bench = Bench::new();
    let live = bench.launch(&bench.spec("owned"));
    let plan = bench.backend.prepare_cleanup(&bench.call, &CleanupScope::new(false)).unwrap();
    assert_eq!((plan.remove.len(), plan.keep.len()), (0, 1));
    let plan = bench.backend.prepare_cleanup(&bench.call, &CleanupScope::new(true)).unwrap();
    assert_eq!((plan.remove.len(), plan.keep.len()), (1, 0));
    let dead = claude_bottle_plugin_api::Call::new(std::sync::Arc::new(Services {
        dead: true,
        ..Services::default()
    }));
    let plan = bench.backend.prepare_cleanup(&dead, &CleanupScope::new(false)).unwrap();
    assert_eq!(plan.remove.len(), 1);
    let pids = live.pids();
    for _ in 0..2 {
        let report = bench.backend.cleanup(&dead, &plan).unwrap();
        assert_eq!((report.removed.len(), report.failures.len()), (1, 0));
    }
    assert!(pids.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists()));
    assert_eq!(fs::read_dir(bench.bottles()).unwrap().count(), 0);
}

#[test]
fn a_directory_without_a_record_is_found_and_a_path_is_no_name() {
    let bench = Bench::new();
    fs::create_dir_all(bench.bottles().join("stray/deep")).unwrap();
    let mut plan = bench.backend.prepare_cleanup(&bench.call, &CleanupScope::default()).unwrap();
    assert_eq!(plan.remove.len(), 1);
    plan.remove[0].id = "../../x".to_owned();
    assert_eq!(bench.backend.cleanup(&bench.call, &plan).unwrap().failures.len(), 1);
    plan.remove[0].id = "stray".to_owned();
    assert_eq!(bench.backend.cleanup(&bench.call, &plan).unwrap().removed.len(), 1);
    assert_eq!(fs::read_dir(bench.bottles()).unwrap().count(), 0);
}

#[test]
fn a_cleanup_that_is_interrupted_tells_what_it_did() {
    let bench = Bench::new();
    fs::create_dir_all(bench.bottles().join("stray")).unwrap();
    let plan = bench.backend.prepare_cleanup(&bench.call, &CleanupScope::default()).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(writer);
    let services = Services { cancel: Some(reader.into()), ..Services::default() };
    let call = claude_bottle_plugin_api::Call::new(std::sync::Arc::new(services));
    let report = bench.backend.cleanup(&call, &plan).unwrap();
    assert_eq!((report.removed.len(), report.failures.len()), (0, 1));
    assert_eq!(report.failures[0].kind, FailureKind::Cancelled);
}

/// A record that is only in the machine's memory would not outlive a power cut, and what it names would.
#[test]
fn the_record_is_on_the_disk_before_anything_is_made() {
    let bench = Bench::new();
    let trace = bench.dir.path().join("trace");
    let mut victim = Command::new("strace");
    victim.args(["-f", "-qq", "-y", "-e", "trace=fsync,rename,renameat2,clone,clone3,vfork", "-o"]);
    victim.arg(&trace).arg(std::env::current_exe().unwrap());
    victim.args(["--exact", "lifecycle::victim"]).env(VICTIM, bench.dir.path());
    victim.env(crate::support::AGAIN, "1").stdin(Stdio::null());
    let output = victim.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let trace = fs::read_to_string(trace).unwrap();
    let at = |what: &dyn Fn(&str) -> bool| trace.lines().position(what).unwrap_or_else(|| panic!("{trace}"));
    let record =
        at(&|line| line.contains("fsync(") && line.contains("/.new-") && line.contains("record.json"));
    let claim =
        at(&|line| line.contains("rename") && line.contains("/.new-") && !line.contains("record.json"));
    let directory = at(&|line| line.contains("fsync(") && line.contains("data/bottles>"));
    let later = at(&|line| line.contains("record.json") && line.contains("bottles/claude-bottle-victim-"));
    assert!(record < claim && claim < directory && directory < later, "{trace}");
    remove_what_the_dead_left(&bench);
}

#[test]
fn a_name_is_taken_once() {
    let bench = Bench::new();
    let spec = bench.spec("taken");
    let _live = bench.launch(&spec);
    let plan = bench.backend.prepare(&bench.call, &spec).unwrap().with_spec(&spec);
    let failure = bench.backend.launch(&bench.call, &plan).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Conflict);
    assert_eq!(fs::read_dir(bench.bottles()).unwrap().count(), 1);
}

#[test]
fn cancelling_ends_the_program_and_not_the_bottle() {
    let (reader, writer) = std::io::pipe().unwrap();
    let bench = Bench::new();
    let live = bench.launch(&bench.spec("cancelled"));
    let services = Services { cancel: Some(reader.into()), ..Services::default() };
    let call = claude_bottle_plugin_api::Call::new(std::sync::Arc::new(services));
    let (mut out, their_out) = std::io::pipe().unwrap();
    let stop = std::thread::spawn(move || {
        out.read_exact(&mut [0]).unwrap();
        drop(writer);
    });
    let script = "trap '' TERM; echo; sleep 60 & wait; sleep 60";
    let mut request = ExecRequest::new(["sh", "-c", script].map(str::to_owned).into(), ExecRole::Command);
    request.streams = [0, their_out.as_raw_fd(), their_out.as_raw_fd()];
    let begun = Instant::now();
    let failure = bench.backend.exec(&call, &live.bottle, &request).unwrap_err();
    stop.join().unwrap();
    assert_eq!(failure.kind, FailureKind::Cancelled);
    // The program would end by itself after a minute.
    assert!(begun.elapsed() < Duration::from_secs(40));
    let said =
        live.sh("for i in $(seq 1000); do pgrep sleep >/dev/null || break; sleep 0.02; done; pgrep -c sleep");
    assert_eq!(said.out, "0\n", "{said:?}");
}

/// Runs in a process of its own, which is killed: makes a bottle, says so, and waits for its end.
#[test]
fn victim() {
    let Some(dir) = std::env::var_os(VICTIM) else { return };
    let mut context = Context::default();
    context.data_dir = PathBuf::from(&dir).join("data");
    let bench = Bench::new();
    let backend = claude_bottle_backend_bubblewrap::Bubblewrap::open(context).unwrap();
    // Control groups have names that are the whole machine's.
    let spec = bench.spec(&format!("victim-{}", std::process::id()));
    let plan = backend.prepare(&bench.call, &spec).unwrap().with_spec(&spec);
    // On a thread that ends, as the host's do.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let bottle = backend.launch(&bench.call, &plan).unwrap();
            backend.provision(&bench.call, &plan, &bottle).unwrap();
        });
    });
    std::fs::write(PathBuf::from(&dir).join("ready"), "").unwrap();
    std::io::stdin().read_exact(&mut [0]).ok();
}

#[test]
fn a_killed_host_leaves_no_process() {
    let bench = Bench::new();
    let mut victim = Command::new(std::env::current_exe().unwrap());
    victim
        .args(["--exact", "lifecycle::victim"])
        .env(VICTIM, bench.dir.path())
        .env(crate::support::AGAIN, "1");
    let mut victim = victim
        .stdin(Stdio::piped())
        .stdout(File::create(bench.dir.path().join("said")).unwrap())
        .spawn()
        .unwrap();
    let until = |what: &dyn Fn() -> bool, seconds| {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        while !what() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        what()
    };
    let is_ready = until(&|| bench.dir.path().join("ready").exists(), 30);
    assert!(is_ready, "{}", fs::read_to_string(bench.dir.path().join("said")).unwrap());
    let active = bench.backend.list_active(&bench.call).unwrap();
    assert_eq!((active.len(), active[0].state), (1, BottleState::Running));
    let pids: Vec<u64> = active[0].record.state["processes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|process| process["pid"].as_u64().unwrap())
        .collect();
    let inside: Vec<String> = pids
        .iter()
        .flat_map(|pid| {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
            children.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!((pids.len(), inside.len()), (2, 2));
    victim.kill().unwrap();
    victim.wait().unwrap();
    let is_gone = |pid: &str| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.is_empty() || stat.rsplit(')').next().unwrap().trim_start().starts_with(['Z', 'X'])
    };
    let all_gone =
        || pids.iter().all(|pid| is_gone(&pid.to_string())) && inside.iter().all(|pid| is_gone(pid));
    assert!(until(&all_gone, 2), "{pids:?} {inside:?}");
    remove_what_the_dead_left(&bench);
}

fn remove_what_the_dead_left(bench: &Bench) {
    let dead = claude_bottle_plugin_api::Call::new(std::sync::Arc::new(Services {
        dead: true,
        ..Services::default()
    }));
    let plan = bench.backend.prepare_cleanup(&dead, &CleanupScope::default()).unwrap();
    let report = bench.backend.cleanup(&dead, &plan).unwrap();
    assert_eq!(report.removed.len(), 1, "{report:?}");
    assert_eq!(fs::read_dir(bench.bottles()).unwrap().count(), 0);
}

#[test]
fn a_long_path_to_the_bottles_is_no_hindrance() {
    let mut bench = Bench::new();
    let mut context = Context::default();
    context.data_dir = bench.dir.path().join("a-directory-with-a-long-name/".repeat(5));
    bench.backend = claude_bottle_backend_bubblewrap::Bubblewrap::open(context).unwrap();
    let live = bench.launch(&bench.spec("at-the-end-of-a-long-path-with-41-letters"));
    assert_eq!(live.sh("echo here").out, "here\n");
    live.close();
}

#[test]
fn a_hog_is_told_which_limit_it_hit_where_a_group_enforces_it() {
    let bench = Bench::new();
    let mut spec = bench.spec("hog");
    spec.bottle.limits.memory_bytes = Some(128 << 20);
    let plan = bench.backend.prepare(&bench.call, &spec).unwrap().with_spec(&spec);
    let is_enforced = !plan.limitations.iter().any(|sentence| sentence.contains("memory limit"));
    let live = bench.launch(&spec);
    let script = "my $x = ''; $x .= 'x' x (1 << 20) for 1 .. 400; print 'survived'";
    let out = tempfile::tempfile().unwrap();
    let mut request = ExecRequest::new(["perl", "-e", script].map(str::to_owned).into(), ExecRole::Command);
    request.streams = [0, out.as_raw_fd(), out.as_raw_fd()];
    let status = bench.backend.exec(&bench.call, &live.bottle, &request).unwrap();
    assert_ne!(status.code, 0, "{}", text(out));
    assert_eq!(status.limit.is_some(), is_enforced, "{status:?}");
    if let Some(limit) = status.limit {
        assert!(limit.contains("128 MiB") && limit.contains("bottles.box.limits.memory"), "{limit}");
    }
}

#[test]
fn the_processor_limit_is_in_the_plan_and_holds_where_a_group_enforces_it() {
    let bench = Bench::new();
    let mut spec = bench.spec(&format!("cpus-{}", std::process::id()));
    // So little that a busy machine gives it more.
    spec.bottle.limits.cpus = Some(0.02);
    let plan = bench.backend.prepare(&bench.call, &spec).unwrap().with_spec(&spec);
    assert!(
        plan.facts.iter().any(|fact| fact.label == "limits" && fact.value.starts_with("0.02 cpus")),
        "{plan:?}"
    );
    let is_enforced = !plan.limitations.iter().any(|sentence| sentence.contains("processor limit"));
    let live = bench.launch(&spec);
    // More processor time than many periods of the limit have.
    let said = live.run(&["perl", "-e", "while ((times)[0] < 0.04) { }"], "");
    assert_eq!(said.code, 0, "{said:?}");
    let groups = live.bottle.state["groups"].as_array().unwrap();
    let throttled = groups.iter().any(|group| {
        let text = fs::read_to_string(Path::new(group.as_str().unwrap()).join("cpu.stat"));
        let times = text.unwrap_or_default();
        times.lines().any(|line| line.strip_prefix("nr_throttled ").is_some_and(|times| times != "0"))
    });
    assert_eq!(throttled, is_enforced, "{groups:?}");
}

#[test]
fn fifty_bottles_at_once() {
    let bench = Bench::new();
    let lives: Vec<_> = std::thread::scope(|scope| {
        let launch = |number| bench.launch(&bench.spec(&format!("many-{number}")));
        let launches: Vec<_> = (0..50).map(|number| scope.spawn(move || launch(number))).collect();
        launches.into_iter().map(|launch| launch.join().unwrap()).collect()
    });
    std::thread::scope(|scope| {
        for live in lives {
            scope.spawn(move || {
                assert_eq!(live.sh("echo $((6*7))").out, "42\n");
                live.close();
            });
        }
    });
    assert_eq!(fs::read_dir(bench.bottles()).unwrap().count(), 0);
}
