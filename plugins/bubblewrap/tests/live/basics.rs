//! From launch to close, and what a program in a bottle is.

use std::io::Write;

use claude_bottle_plugin_api::{Backend, ExecRequest, ExecRole, Failure, FailureKind};

use crate::support::{AGAIN, Bench, programs};

#[test]
fn a_bottle_runs_a_program_and_leaves_nothing() {
    let bench = Bench::new();
    let live = bench.launch(&bench.spec("basic"));
    let said = live.run(&["sh", "-c", "cat; pwd; id -u; id -un; echo oops >&2; exit 7"], "hello\n");
    assert_eq!((said.code, said.err.as_str()), (7, "oops\n"), "{said:?}");
    assert_eq!(said.out, "hello\n/home/node/workspace\n1000\nnode\n");
    let pids = live.pids();
    live.close();
    for pid in pids {
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    }
    assert_eq!(std::fs::read_dir(bench.bottles()).unwrap().count(), 0);
    live.close();
}

#[test]
fn the_environment_is_ours_alone() {
    let bench = Bench::new();
    let live = bench.launch(&bench.spec("env"));
    let said = live.sh("env | sort");
    let names: Vec<_> = said.out.lines().filter_map(|line| line.split('=').next()).collect();
    let expected = "HOME HTTPS_PROXY HTTP_PROXY LANG LOGNAME NODE_USE_ENV_PROXY NO_PROXY PATH PWD SHELL USER \
                    http_proxy https_proxy no_proxy";
    assert_eq!(names.join(" "), expected, "{said:?}");
    assert!(said.out.contains("HTTPS_PROXY=http://127.0.0.1:8888\n"));
    assert!(std::env::var_os("CARGO").is_some() || std::env::var_os("HOME").is_some());
}

#[test]
fn codes_say_how_a_program_ended() {
    let bench = Bench::new();
    let live = bench.launch(&bench.spec("codes"));
    assert_eq!(live.sh("kill -9 $$").code, 137);
    assert_eq!(live.run(&["no-such-program"], "").code, 127);
    assert_eq!(live.run(&["/etc/passwd"], "").code, 126);
    assert_eq!(live.run(&["true"], "").code, 0);
}

#[test]
fn much_goes_through_the_pipes() {
    let bench = Bench::new();
    let live = bench.launch(&bench.spec("much"));
    let said = live.run(&["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; exec sleep 0"], "");
    assert_eq!(said.out.len(), 3_000_000);
    // What is written last arrives, also when something in the background holds the pipe open.
    let said = live.sh("sleep 30 & echo last");
    assert_eq!(said.out, "last\n");
    let input = "line\n".repeat(10_000);
    let mut command = ExecRequest::new(vec!["wc".to_owned(), "-c".to_owned()], ExecRole::Command);
    let (reader, mut writer) = std::io::pipe().unwrap();
    let out = tempfile::tempfile().unwrap();
    let sending = std::thread::spawn(move || writer.write_all(input.as_bytes()));
    use std::os::fd::AsRawFd;
    command.streams = [reader.as_raw_fd(), out.as_raw_fd(), out.as_raw_fd()];
    bench.backend.exec(&bench.call, &live.bottle, &command).unwrap();
    sending.join().unwrap().unwrap();
    assert_eq!(crate::support::text(out), "50000\n");
}

#[test]
fn bottles_run_side_by_side_and_do_not_see_each_other() {
    let bench = Bench::new();
    let one = bench.launch(&bench.spec("one"));
    let two = bench.launch(&bench.spec("two"));
    one.sh("echo mine > /tmp/mine; echo mine > ~/mine; sleep 60 >/dev/null 2>&1 &");
    let said = two.sh("ls /tmp ~; ps ax -o args | grep -c '[s]leep'");
    assert!(!said.out.contains("mine") && said.out.ends_with("0\n"), "{said:?}");
}

#[test]
fn prepare_says_what_is_missing() {
    let bench = Bench::new();
    let refused = |change: &dyn Fn(&mut claude_bottle_plugin_api::Spec)| -> Failure {
        let mut spec = bench.spec("refused");
        change(&mut spec);
        bench.backend.prepare(&bench.call, &spec).unwrap_err()
    };
    let failure = refused(&|spec| spec.agent.command = vec!["no-such-agent".to_owned()]);
    assert_eq!(failure.kind, FailureKind::Missing);
    let failure = refused(&|spec| spec.bottle.egress.guard = None);
    assert!(failure.message.contains("egress-guard"));
    let failure = refused(&|spec| spec.bottle.egress.proxy = claude_bottle_plugin_api::Proxy::Pipelock);
    assert_eq!(failure.kind, FailureKind::Unsupported);
    let failure = refused(&|spec| spec.bottle.image = Some("some/image".to_owned()));
    assert!(failure.hints.iter().any(|hint| hint.contains("BACKEND=docker")));
    let bench = Bench::with(Default::default(), &[("BWRAP", "/no/such/bwrap")]);
    let failure = bench.backend.prepare(&bench.call, &bench.spec("x")).unwrap_err();
    assert!(failure.hints[0].ends_with("install bubblewrap"), "{failure:?}");
    let probe = bench.backend.probe(&bench.call).unwrap();
    assert!(probe.remedy.unwrap().ends_with("install bubblewrap"));
}

#[test]
fn a_system_that_refuses_namespaces_is_named() {
    // Root's own programs are not seen from a stage when they are in /tmp.
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let stub = dir.path().join("bwrap");
    let script = "#!/bin/sh\n[ \"$1\" = --version ] && { echo bubblewrap 0.8.0; exit; }\n\
                  echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1\n";
    std::fs::write(&stub, script).unwrap();
    use std::os::unix::fs::PermissionsExt;
    for path in [dir.path(), &stub] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let bench = Bench::with(Default::default(), &[("BWRAP", stub.to_str().unwrap())]);
    let failure = bench.backend.prepare(&bench.call, &bench.spec("x")).unwrap_err();
    assert_eq!(failure.kind, FailureKind::Denied);
    assert_eq!(failure.causes, ["bwrap: setting up uid map: Permission denied"]);
    assert!(!failure.hints.is_empty());
}

/// In a process of its own: where its bench is.
const REFUSED: &str = "BUBBLEWRAP_TESTS_REFUSED";

/// Runs in a process of its own, which the system refuses something: says what the probe and a launch say.
#[test]
fn probe_and_launch() {
    let Some(dir) = std::env::var_os(REFUSED).map(std::path::PathBuf::from) else { return };
    let bench = Bench::in_dir(&dir);
    let probe = bench.backend.probe(&bench.call).unwrap();
    let spec = bench.spec(&format!("refused-{}", std::process::id()));
    let plan = bench.backend.prepare(&bench.call, &spec).unwrap().with_spec(&spec);
    let failure = bench.backend.launch(&bench.call, &plan).unwrap_err();
    let said = [failure.causes, failure.hints].concat().join("\n");
    std::fs::write(dir.join("said"), format!("{probe:?}\n{said}")).unwrap();
}

#[test]
fn what_a_container_refuses_is_found_by_the_probe_and_told_with_what_helps() {
    if !rustix::process::geteuid().is_root() {
        return; // Only root may make such a container.
    }
    programs();
    let cases = [
        (
            // What an engine does to /proc, so that no other may be mounted below.
            ["unshare", "-m", "sh", "-c", "mount --bind /dev/null /proc/keys; exec \"$@\"", "sh"].as_slice(),
            "Can't mount proc on /newroot/proc",
            "--security-opt systempaths=unconfined",
        ),
        (
            ["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"].as_slice(),
            "make a mount namespace: Operation not permitted",
            "--cap-add SYS_ADMIN",
        ),
    ];
    for (wrapper, refusal, hint) in cases {
        let dir = tempfile::tempdir().unwrap();
        let mut refused = std::process::Command::new(wrapper[0]);
        refused.args(&wrapper[1..]).arg(std::env::current_exe().unwrap());
        refused.args(["--exact", "basics::probe_and_launch"]).env(REFUSED, dir.path()).env(AGAIN, "1");
        let output = refused.output().unwrap();
        let said = std::fs::read_to_string(dir.path().join("said"));
        let said = said.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stdout)));
        assert!(said.contains("Unusable"), "{said}");
        // Both say it: the probe and the launch.
        assert_eq!((said.matches(refusal).count(), said.matches(hint).count()), (2, 2), "{said}");
    }
}

#[test]
fn the_probe_says_usable_here() {
    let bench = Bench::new();
    let probe = bench.backend.probe(&bench.call).unwrap();
    assert_eq!(probe.health, claude_bottle_plugin_api::Health::Usable, "{probe:?}");
}
