//! Going on from a result in a new bottle, on each backend and from one to the other: the agent's work, its commits and its
//! sessions are there again, under the policy and over the directory of today.

mod talk;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use claude_bottle::results::hash;
use claude_bottle::results::store::{Saved, Store};
use serde_json::Value;

use crate::failure::run::{Run, reapers};
use crate::support::backend::{Backend, on_each_backend_and_podman};
use crate::support::home::Home;
use crate::support::{assert_code, run, stderr, stdout};

on_each_backend_and_podman!(
    the_work_lies_over_the_directory_of_today,
    the_agents_commits_are_there_again,
    the_policy_of_today_holds,
    the_history_of_a_run_is_in_no_other,
    a_sealed_archive_that_leads_out_makes_no_bottle,
    a_killed_resume_leaves_nothing_and_the_result_stays,
);

/// How long the end of another process is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

fn other(backend: Backend) -> Backend {
    match backend {
        Backend::Docker => Backend::Bubblewrap,
        Backend::Bubblewrap | Backend::Podman | Backend::Kubernetes => Backend::Docker,
    }
}

/// Writes the manifest of an agent that is a shell, with more of the bottle.
fn manifest(agent: &str, bottle: &str) -> String {
    format!(
        "bottles: {{ dev: {{ egress: {{ allowlist: [] }}{bottle} }} }}\n\
         agents: {{ {agent}: {{ bottle: dev, command: [sh, -c], history: [.sessions] }} }}\n"
    )
}

/// Makes a home with a repository in its working directory.
fn home(agent: &str) -> Home {
    let home = Home::new(&manifest(agent, ""));
    for (name, text) in [("kept", "kept\n"), ("edited", "one\n"), ("gone", "gone\n"), ("here", "here\n")] {
        fs::write(home.work().join(name), text).unwrap();
    }
    let script =
        "git init -q -b main . && git add . && git -c user.name=t -c user.email=t@t commit -qm first";
    let mut sh = Command::new("sh");
    let output = run(sh.args(["-ec", script]).current_dir(home.work()).env("HOME", home.path()));
    assert!(output.status.success(), "{}", stderr(&output));
    home
}

/// Runs an agent to its end; returns the run of its result.
fn start(backend: Backend, home: &Home, agent: &str, script: &str) -> String {
    assert_code(&run(&mut backend.command(home, &["start", agent, "--cwd", "--yes", "--", script])), 0);
    newest(home)
}

fn resume(backend: Backend, home: &Home, result: &str, script: &str) -> Output {
    run(&mut backend.command(home, &["resume", result, "--yes", "--", script]))
}

fn results(home: &Home) -> Vec<Value> {
    let output = run(&mut home.command(&["results", "--format", "json"]));
    assert_code(&output, 0);
    serde_json::from_str(&stdout(&output)).unwrap()
}

fn newest(home: &Home) -> String {
    results(home).iter().max_by_key(|row| row["saved_unix"].as_u64()).unwrap()["run"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn state(home: &Home, result: &str) -> String {
    let results = results(home);
    let row = results.iter().find(|row| row["run"] == result).unwrap();
    row["state"].as_str().unwrap().to_owned()
}

/// Returns the result that goes on from another.
fn going_on_from(home: &Home, result: &str) -> Saved {
    let all = Store::new(&home.state()).all().unwrap();
    all.into_iter().find(|saved| saved.result.origin.resumed.as_deref() == Some(result)).unwrap()
}

fn changes(saved: &Saved) -> Vec<String> {
    let files = saved.result.files.iter();
    files.map(|file| format!("{:?} {}", file.change, file.path.as_path().display())).collect()
}

fn the_work_lies_over_the_directory_of_today(backend: Backend) {
    let agent = &format!("e2e-over-{}", backend.name());
    let home = home(agent);
    let work = home.work();
    let first = start(
        backend,
        &home,
        agent,
        "echo two >edited; rm gone; mkdir -p sub/deep; echo new >sub/deep/added; chmod +x kept; ln -s kept link; \
         rm here; mkdir here; echo in >here/x",
    );
    fs::write(work.join("edited"), "changed by me\n").unwrap();
    fs::write(work.join("mine"), "mine\n").unwrap();
    // What a new bottle is: on either backend.
    for backend in [backend, other(backend)] {
        let output = resume(
            backend,
            &home,
            &first,
            "cat edited mine sub/deep/added here/x; test ! -e gone && test -x kept && readlink link; \
             echo three >>sub/deep/added",
        );
        assert_code(&output, 0);
        assert_eq!(stdout(&output), "two\nmine\nnew\nin\nkept\n", "{}", stderr(&output));
        // However wide the column of labels is on this backend.
        let plan = stderr(&output).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(plan.contains(&format!("goes on from {first}: 9 changed files ")), "{plan}");
        assert!(plan.contains(" changed here edited; inside they are as the agent left them"), "{plan}");
        assert_eq!(fs::read_to_string(work.join("edited")).unwrap(), "changed by me\n");
        assert!(work.join("gone").exists() && !work.join("sub").exists(), "nothing is written here");
        assert_eq!(state(&home, &first), "resumed");
        let second = going_on_from(&home, &first);
        let mut expected =
            vec!["Modified edited", "Deleted gone", "Modified here", "Added here/x", "Modified kept"];
        expected.extend(["Added link", "Added sub", "Added sub/deep", "Added sub/deep/added"]);
        assert_eq!(changes(&second), expected, "against the directory of today");
        let old = second.result.files[0].old.as_ref().unwrap().sha256.clone().unwrap();
        let (_, today) = hash::of(fs::File::open(work.join("edited")).unwrap()).unwrap();
        assert_eq!(old, hash::hex(today));
        let run = second.result.run;
        assert_code(&crate::support::run(&mut home.command(&["discard", &run, "--yes"])), 0);
        backend.assert_nothing_left(&home, agent);
    }
    // What was applied is not a change any more.
    fs::write(work.join("edited"), "one\n").unwrap();
    assert_code(&run(&mut home.command(&["apply", &first, "--yes", "--accept", "odd"])), 0);
    let output = resume(backend, &home, &first, "cat edited; rm link");
    assert_eq!((stdout(&output).as_str(), output.status.code()), ("two\n", Some(0)), "{}", stderr(&output));
    assert!(!stderr(&output).contains("changed here"), "{}", stderr(&output));
    assert_eq!(changes(&going_on_from(&home, &first)), ["Deleted link"]);
    assert!(fs::metadata(work.join("kept")).unwrap().permissions().mode() & 0o100 != 0);
}

fn the_agents_commits_are_there_again(backend: Backend) {
    let agent = &format!("e2e-commits-{}", backend.name());
    let home = home(agent);
    let commit = "git config user.name a && git config user.email a@a && echo two >edited && git commit -qam second && \
                  git checkout -qb topic && echo new >added && git add added && git commit -qm third && git stash list && \
                  git pack-refs --all && git gc -q";
    let first = start(backend, &home, agent, commit);
    for backend in [backend, other(backend)] {
        let output = resume(
            backend,
            &home,
            &first,
            "git log --format=%s; git branch --format='%(refname:short) %(subject)'; git status --porcelain; git fsck 2>&1",
        );
        assert_code(&output, 0);
        assert_eq!(
            stdout(&output),
            "third\nsecond\nfirst\nmain second\ntopic third\n",
            "{}",
            stderr(&output)
        );
        assert!(stderr(&output).contains("2 changed files, the agent's repository"), "{}", stderr(&output));
        let run = going_on_from(&home, &first).result.run;
        assert_code(&crate::support::run(&mut home.command(&["discard", &run, "--yes"])), 0);
    }
}

fn the_policy_of_today_holds(backend: Backend) {
    let agent = &format!("e2e-policy-{}", backend.name());
    let home = home(agent);
    let ask =
        "curl -sS -o /dev/null -w '%{http_code} ' http://allowed.test/; echo \"$WORD\"; echo x >>edited";
    let write = |allowlist: &str, word: &str| {
        let text = manifest(agent, &format!(", env: {{ WORD: {word} }}"))
            .replace("[] }", &format!("{allowlist} }}"));
        fs::write(home.path().join("claude-bottle.yaml"), text).unwrap();
    };
    write("[allowed.test]", "before");
    let first = start(backend, &home, agent, ask);
    let verdict = |home: &Home| home.decisions().last().unwrap()["code"].clone();
    assert_ne!(verdict(&home), "not_in_allowlist");
    write("[other.test]", "after");
    let output = resume(backend, &home, &first, ask);
    assert_code(&output, 0);
    assert_eq!(stdout(&output), "403 after\n", "{}", stderr(&output));
}

fn the_history_of_a_run_is_in_no_other(backend: Backend) {
    let agent = &format!("e2e-history-{}", backend.name());
    let home = home(agent);
    let remember =
        |word: &str| format!("mkdir -p ~/.sessions; echo {word} >>~/.sessions/log; echo {word} >>edited");
    let first = start(backend, &home, agent, &remember("plum"));
    std::thread::sleep(Duration::from_millis(1100));
    let second = start(backend, &home, agent, &format!("test ! -e ~/.sessions && {}", remember("fig")));
    for (result, word) in [(first, "plum"), (second, "fig")] {
        let output = resume(other(backend), &home, &result, "cat ~/.sessions/log");
        assert_code(&output, 0);
        assert_eq!(stdout(&output), format!("{word}\n"));
    }
    // It is put into bottles alone.
    assert!(!home.path().join(".sessions").exists());
}

/// Puts another archive into a result, as somebody could who may write there: with the right hashes.
fn forge(home: &Home, result: &str, name: &str, archive: &Path) {
    let mut saved = Store::new(&home.state()).get(result).unwrap().unwrap();
    fs::copy(archive, saved.dir.join("sealed").join(name)).unwrap();
    let (bytes, sha256) = hash::of(fs::File::open(archive).unwrap()).unwrap();
    let sealed = saved.result.sealed.iter_mut().find(|sealed| sealed.name == name).unwrap();
    (sealed.bytes, sealed.sha256) = (bytes, hash::hex(sha256));
    saved.result.digest = String::new();
    saved.result.digest = hash::of_document(&saved.result).unwrap();
    fs::write(saved.dir.join("result.json"), serde_json::to_vec(&saved.result).unwrap()).unwrap();
    assert_code(&run(&mut home.command(&["results", "verify", result])), 0);
}

fn a_sealed_archive_that_leads_out_makes_no_bottle(backend: Backend) {
    let agent = &format!("e2e-hostile-{}", backend.name());
    let home = home(agent);
    let commit = "mkdir ~/.sessions; echo x >~/.sessions/x; git config user.name a; echo two >edited";
    let result = start(backend, &home, agent, commit);
    let archive = home.path().join("hostile.tar");
    let make = "mkdir -p h/dir && echo out >h/dir/file && ln -s / h/led && cd h && ";
    for (name, tar) in [
        ("git.tar", "tar -cf ../hostile.tar -P --transform 's,^dir,../../../home/x,' dir/file"),
        ("git.tar", "tar -cf ../hostile.tar -P --transform 's,^dir,/tmp/out,' dir/file"),
        (
            "git.tar",
            "tar -cf ../hostile.tar led && tar -rf ../hostile.tar --transform 's,^dir,led/tmp,' dir/file",
        ),
        (
            "history.tar",
            "tar -cf ../hostile.tar led && tar -rf ../hostile.tar --transform 's,^dir,led/tmp,' dir/file",
        ),
    ] {
        let mut sh = Command::new("sh");
        assert_code(&run(sh.args(["-ec", &format!("rm -rf h; {make}{tar}")]).current_dir(home.path())), 0);
        let original = home.state().join("results").join(&result).join("sealed").join(name);
        let kept = fs::read(&original).unwrap();
        forge(&home, &result, name, &archive);
        let output = resume(backend, &home, &result, "echo started");
        assert_code(&output, 125);
        assert!(!stdout(&output).contains("started"), "{}", stdout(&output));
        assert!(stderr(&output).contains("of what an earlier bottle left"), "{}", stderr(&output));
        backend.assert_nothing_left(&home, agent);
        assert!(!Path::new("/tmp/out").exists() && !Path::new("/tmp/file").exists());
        fs::write(&archive, kept).unwrap();
        forge(&home, &result, name, &archive);
    }
    assert_eq!(state(&home, &result), "new");
    assert_code(&resume(backend, &home, &result, "git config user.name"), 0);
    // One that was changed without its hashes is found before.
    fs::write(home.state().join("results").join(&result).join("sealed/git.tar"), "x").unwrap();
    let output = resume(backend, &home, &result, "true");
    assert_code(&output, 125);
    assert!(stderr(&output).contains("is not what was saved"), "{}", stderr(&output));
}

fn a_killed_resume_leaves_nothing_and_the_result_stays(backend: Backend) {
    let agent = &format!("e2e-killed-resume-{}", backend.name());
    let home = home(agent);
    let first = start(backend, &home, agent, "echo two >edited");
    let begin = |script: &str| {
        let known = home.runs();
        let run = Run::start(&mut backend.command(&home, &["resume", &first, "--yes", "--", script]));
        let begun = Instant::now();
        while home.runs().len() == known.len() {
            assert!(begun.elapsed() < PATIENCE, "it did not begin");
            std::thread::yield_now();
        }
        run
    };
    // As soon as it has begun, and later on its way.
    for after in [0, 150, 400] {
        let run = begin("cat");
        std::thread::sleep(Duration::from_millis(after));
        let watching = reapers(&home, None);
        run.kill();
        assert!(watching.iter().all(|watching| watching.ends_within(PATIENCE)));
        // Without a watcher yet, nothing was made either.
        assert_code(&crate::support::run(&mut backend.cleanup(&home)), 0);
        backend.assert_nothing_left(&home, agent);
        assert_code(&crate::support::run(&mut home.command(&["results", "verify", &first])), 0);
    }
    // With the agent at work, what it did since is saved, and the earlier result is in it.
    let mut run = begin("echo three >>edited; echo ready; cat");
    run.wait_for("ready");
    let watching = reapers(&home, None);
    run.kill();
    assert!(watching[0].ends_within(PATIENCE));
    backend.assert_nothing_left(&home, agent);
    let saved = Store::new(&home.state())
        .all()
        .unwrap()
        .into_iter()
        .rfind(|saved| saved.result.origin.resumed.as_deref() == Some(&first));
    assert_eq!(changes(&saved.unwrap()), ["Modified edited"]);
    assert_eq!(state(&home, &first), "resumed");
}
