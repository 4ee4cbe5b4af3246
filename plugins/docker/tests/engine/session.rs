//! Programs in a bottle: streams, terminals, secrets, signals.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use claude_bottle_plugin_api::*;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::support::{Run, Services, backend, docker, request};

const CANARY: &str = "canary-7f3a\nsecond 'line' \"of\" $(it) \\ `too`";

#[test]
fn a_secret_is_inside_and_nowhere_else() {
    let backend = backend(&[]);
    let run = Run::new("secretive", &[("TOKEN", CANARY.as_bytes())]);
    let live = run.start(&backend);
    let said = live.sh(&backend, &run, "printf %s \"$TOKEN\"", b"");
    assert_eq!(said.stdout, CANARY);
    let canary = "canary-7f3a";
    // It is in no file, not even in one that is in memory alone.
    let files = "grep -rlF -- \"${TOKEN%%-*}-7f3a\" /run /tmp /home /dev/shm /var 2>/dev/null; echo searched";
    assert_eq!(live.sh(&backend, &run, files, b"").stdout, "searched\n");
    let filter = format!("label=io.claude-bottle.id={}", run.spec.id);
    let containers = docker(&["ps", "-aq", "--filter", &filter]);
    // gVisor lets a user read of all its own processes; what it reads there holds no secret.
    let mut inspect = vec!["inspect", "--format", "{{.HostConfig.Runtime}}"];
    inspect.extend(containers.split_whitespace());
    let is_gvisor = docker(&inspect).contains("runsc");
    let of_process_1 =
        "cat /proc/1/environ /proc/1/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -c canary-7f3a";
    assert_eq!(live.sh(&backend, &run, of_process_1, b"").stdout, "0\n");
    if !is_gvisor {
        let of_process_1 = "cat /proc/1/environ /proc/1/maps >/dev/null 2>&1 || echo shut";
        assert_eq!(live.sh(&backend, &run, of_process_1, b"").stdout, "shut\n");
    }

    for id in containers.split_whitespace() {
        assert!(!docker(&["inspect", id]).contains(canary));
        assert!(!docker(&["logs", id]).contains(canary));
        assert!(!docker(&["diff", id]).contains(canary));
    }
    assert!(!docker(&["history", "--no-trunc", "claude-bottle:latest"]).contains(canary));
    // While a program runs that has the secret: no argument list says it, of any process of the machine.
    let (writer, mut streams) = held_open();
    let (stdout, child_stdout) = rustix::pipe::pipe().unwrap();
    streams[1] = File::from(child_stdout);
    let (bottle, call) = (live.bottle.clone(), run.call());
    std::thread::scope(|scope| {
        let running =
            scope.spawn(|| backend.exec(&call, &bottle, &request(&["sh", "-c", "echo; cat"], &streams)));
        File::from(stdout).read_exact(&mut [0]).unwrap();
        for process in std::fs::read_dir("/proc").unwrap().flatten() {
            let arguments = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&arguments).contains(canary), "{:?}", process.path());
        }
        drop(writer);
        assert_eq!(running.join().unwrap().unwrap().code, 0);
    });
    // What the engine keeps on its disk: the containers' own directories.
    let root = docker(&["info", "--format", "{{.DockerRootDir}}"]);
    for id in docker(&["ps", "-aq", "--no-trunc", "--filter", &filter]).split_whitespace() {
        let found = std::process::Command::new("grep")
            .args(["-rl", canary, &format!("{}/containers/{id}", root.trim())])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    }
    let export = std::process::Command::new("sh")
        .args(["-c", &format!("docker export {} | grep -c {canary}", live.bottle.name)])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&export.stdout).trim(), "0");
    backend.close(&run.call(), &live.bottle).unwrap();
    for entry in [&run.spec.stage_dir, &run.spec.state_dir] {
        for file in std::fs::read_dir(entry).unwrap().flatten() {
            assert!(!std::fs::read_to_string(file.path()).unwrap_or_default().contains(canary));
        }
    }
}

/// Fails when a program that this process starts would have one of its descriptors of this terminal.
fn assert_is_not_inherited(terminal: &std::ffi::CStr) {
    let mut seen = 0;
    for entry in std::fs::read_dir("/proc/self/fd").unwrap().flatten() {
        let number = entry.file_name().into_string().unwrap();
        if std::fs::read_link(entry.path())
            .is_ok_and(|path| path.as_os_str().as_encoded_bytes() == terminal.to_bytes())
        {
            let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap();
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
            // `O_CLOEXEC`: <https://man7.org/linux/man-pages/man5/proc_pid_fdinfo.5.html>.
            assert_ne!(u32::from_str_radix(flags, 8).unwrap() & 0o2_000_000, 0, "{info}");
            seen += 1;
        }
    }
    assert!(seen > 1, "the backend has none of its own");
}

/// Streams whose input does not end until the writer is dropped.
fn held_open() -> (File, [File; 3]) {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let out = || tempfile::tempfile().unwrap();
    (File::from(writer), [File::from(reader), out(), out()])
}

#[test]
fn an_input_that_never_ends_holds_nobody_back() {
    let backend = backend(&[]);
    let run = Run::new("patient", &[]);
    let live = run.start(&backend);
    let (_writer, streams) = held_open();
    let begun = Instant::now();
    let status =
        backend.exec(&run.call(), &live.bottle, &request(&["sh", "-c", "exit 3"], &streams)).unwrap();
    assert_eq!(status.code, 3);
    // It would wait for the end of the test.
    assert!(begun.elapsed() < Duration::from_secs(60));

    // Much output, and input that is more than any buffer on the way.
    let input = vec![b'x'; 3 << 20];
    let said = live.sh(&backend, &run, "wc -c; head -c 2000000 /dev/zero | tr '\\0' y", &input);
    assert!(said.stdout.starts_with("3145728\n"), "{}", &said.stdout[..20]);
    assert_eq!(said.stdout.matches('y').count(), 2_000_000);
    let missing = live.exec(&backend, &run, &["no-such-program"], b"");
    let said = "error: the program `no-such-program` is not in this bottle\n";
    assert_eq!((missing.code, missing.stderr.as_str()), (127, said));
    // Of the programs that have run nothing is kept in a file.
    let noted = live.sh(&backend, &run, "find /run /tmp -type f 2>/dev/null", b"").stdout;
    // The second is another name of the first, where both are bound in.
    let own = ["/run/claude-bottle-link/bottle-guest", "/run/claude-bottle-link/bin/bottle"];
    assert!(noted.lines().all(|file| own.contains(&file)), "{noted}");

    // A reader that goes away ends the program as it would in a pipeline.
    let (reader, stdout) = rustix::pipe::pipe().unwrap();
    drop(reader);
    let streams = [File::open("/dev/null").unwrap(), File::from(stdout), tempfile::tempfile().unwrap()];
    let status = backend.exec(&run.call(), &live.bottle, &request(&["yes"], &streams)).unwrap();
    assert_eq!(status.code, 128 + 13);
    backend.close(&run.call(), &live.bottle).unwrap();
}

#[test]
fn a_cancelled_call_ends_the_program_in_the_bottle() {
    let backend = backend(&[]);
    let run = Run::new("cancelled", &[]);
    let live = run.start(&backend);
    for script in ["sleep 1000 & echo begun; wait", "trap '' TERM; echo begun; while :; do sleep 1000; done"]
    {
        let services = Services::new(&[]);
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let streams = [File::open("/dev/null").unwrap(), File::from(writer), tempfile::tempfile().unwrap()];
        let request = request(&["sh", "-c", script], &streams);
        std::thread::scope(|scope| {
            let running = scope.spawn(|| backend.exec(&services.call(), &live.bottle, &request));
            let mut begun = [0; 5];
            File::from(reader).read_exact(&mut begun).unwrap();
            services.cancel();
            assert_eq!(running.join().unwrap().unwrap_err().kind, FailureKind::Cancelled);
        });
        let left = live.sh(&backend, &run, "grep -l '^sleep.1000' /proc/[0-9]*/cmdline", b"");
        assert_eq!(left.stdout, "", "{script}");
    }
    backend.close(&run.call(), &live.bottle).unwrap();
}

#[test]
fn a_cancelled_launch_leaves_nothing() {
    let backend = backend(&[("FAULT", "hang:start-sidecar")]);
    let mut run = Run::new("stopped", &[]);
    run.spec.options = crate::support::with_sidecar();
    let plan = backend.prepare(&run.call(), &run.spec).unwrap().with_spec(&run.spec);
    std::thread::scope(|scope| {
        let launching = scope.spawn(|| backend.launch(&run.call(), &plan));
        while run.leftovers().len() < 4 {
            assert!(!launching.is_finished(), "it has not come as far as that");
            std::thread::yield_now();
        }
        run.services.cancel();
        assert_eq!(launching.join().unwrap().unwrap_err().kind, FailureKind::Cancelled);
    });
    assert_eq!(run.leftovers(), Vec::<String>::new());
}

#[test]
fn a_terminal_has_its_size_and_takes_keys() {
    let backend = backend(&[]);
    let run = Run::new("typist", &[]);
    let live = run.start(&backend);
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let path = ptsname(&controller, Vec::new()).unwrap();
    let terminal = File::options().read(true).write(true).open(path.to_str().unwrap()).unwrap();
    let mut modes = rustix::termios::tcgetattr(&terminal).unwrap();
    modes.make_raw();
    rustix::termios::tcsetattr(&terminal, rustix::termios::OptionalActions::Now, &modes).unwrap();
    let set = |columns, rows| {
        let size = Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&terminal, size).unwrap();
    };
    set(91, 31);
    let (resized, resize) = rustix::pipe::pipe().unwrap();

    // A first byte 1 is what an engine's framing would begin with; here it is a byte like any other.
    let script = r#"printf '\001\002'; trap 'echo interrupted; exit 9' INT; size() { until stty size | grep "$1"; do :; done; }
        echo "$TERM"; size '31 91'; echo ready; read -r line; echo "line $line"; size '40 120'; while :; do sleep 0.1; done"#;
    let mut request = ExecRequest::new(["bash", "-c", script].map(str::to_owned).into(), ExecRole::Command);
    (request.tty, request.term) = (true, Some("vt220".to_owned()));
    request.streams = [terminal.as_raw_fd(); 3];
    request.resized = Some(resized.as_raw_fd());

    let mut keys = File::from(controller.try_clone().unwrap());
    let (sender, screen) = mpsc::channel();
    let mut reader = File::from(controller);
    std::thread::spawn(move || {
        let mut bytes = [0; 1024];
        while let Ok(n @ 1..) = reader.read(&mut bytes) {
            if sender.send(bytes[..n].to_vec()).is_err() {
                break;
            }
        }
    });
    let mut seen = Vec::new();
    let mut wait_for = |text: &str| {
        while !String::from_utf8_lossy(&seen).contains(text) {
            let more = screen.recv_timeout(Duration::from_secs(120));
            if more.is_err() {
                // The scope waits for the program, which must not outlive the failure.
                run.services.cancel();
            }
            seen.extend(
                more.unwrap_or_else(|_| panic!("no `{text}` in {:?}", String::from_utf8_lossy(&seen))),
            );
        }
    };
    std::thread::scope(|scope| {
        let running = scope.spawn(|| backend.exec(&run.call(), &live.bottle, &request));
        wait_for("\u{1}\u{2}vt220");
        wait_for("ready");
        assert_is_not_inherited(&path);
        keys.write_all(b"hello\r").unwrap();
        wait_for("line hello");
        set(120, 40);
        rustix::io::write(&resize, b"r").unwrap();
        wait_for("40 120");
        keys.write_all(b"\x03").unwrap();
        wait_for("interrupted");
        assert_eq!(running.join().unwrap().unwrap().code, 9);
    });
    backend.close(&run.call(), &live.bottle).unwrap();
}

#[test]
fn text_is_utf8_unless_the_bottle_says_otherwise() {
    let backend = backend(&[]);
    let mut run = Run::new("texts", &[]);
    let live = run.start(&backend);
    let said = live.sh(&backend, &run, "locale charmap; cd /tmp; touch \u{65e5}\u{672c}.txt; ls *.txt", b"");
    assert_eq!(said.stdout, "UTF-8\n\u{65e5}\u{672c}.txt\n", "{said:?}");
    backend.close(&run.call(), &live.bottle).unwrap();

    run = Run::new("texts-own", &[]);
    run.spec.bottle.env = vec![EnvVar::literal("LANG", "C")];
    let live = run.start(&backend);
    assert_eq!(live.sh(&backend, &run, "echo $LANG", b"").stdout, "C\n");
    backend.close(&run.call(), &live.bottle).unwrap();
}

#[test]
fn a_program_whose_bottle_is_closed_is_told_so_as_on_every_backend() {
    let backend = backend(&[]);
    let run = Run::new("closed", &[]);
    let live = run.start(&backend);
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let streams = [File::open("/dev/null").unwrap(), File::from(writer), tempfile::tempfile().unwrap()];
    let request = request(&["sh", "-c", "echo; sleep 1000"], &streams);
    std::thread::scope(|scope| {
        let running = scope.spawn(|| backend.exec(&run.call(), &live.bottle, &request));
        File::from(reader).read_exact(&mut [0]).unwrap();
        backend.close(&run.call(), &live.bottle).unwrap();
        let failure = running.join().unwrap().unwrap_err();
        let expected = claude_bottle_kit::closed("sh");
        assert_eq!((failure.kind, failure.message), (expected.kind, expected.message));
    });
}
