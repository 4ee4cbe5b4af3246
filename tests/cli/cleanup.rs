//! `cleanup`: what dead runs left, shown before it is removed; what runs stays.

use std::fs;

use insta::assert_snapshot;

use crate::support::{Home, Live, Terminal, assert_code, assert_says, json, stderr, stdout};

/// Leaves a bottle of a dead run behind.
fn with_orphan() -> Home {
    let home = Home::new();
    home.write(
        ".local/share/claude-bottle/backends/fake/bottles/fake-old-0a1b2c3d.json",
        r#"{"id":"old-0a1b2c3d","name":"fake-old-0a1b2c3d","agent":"old","bottle":"dev",
            "owner":{"host":"HOST","pid":4194305,"started":1},"env":[],"secrets":[],"prompt":""}"#
            .replace("HOST", rustix::system::uname().nodename().to_str().unwrap())
            .as_str(),
    );
    home
}

#[test]
fn nothing_to_do() {
    assert_snapshot!(Home::new().shown(&["cleanup"]), @"
    exit 0
    --- stderr
    nothing is left over
    ");
    assert_snapshot!(Home::new().shown(&["cleanup", "--format", "json", "--dry-run"]), @r#"
    exit 0
    --- stdout
    [
      {
        "backend": "fake",
        "remove": [],
        "keep": []
      }
    ]
    "#);
}

#[test]
fn a_dry_run_removes_nothing() {
    let home = with_orphan();
    assert_snapshot!(home.shown(&["cleanup", "--dry-run"]), @"
    exit 0
    --- stdout
    ACTION  BACKEND  KIND    NAME               WHY
    remove  fake     bottle  fake-old-[ID]  its run is gone
    ");
    let plan = json(&home.call(&["cleanup", "--dry-run", "--format", "json"]));
    assert_eq!(plan[0]["backend"], "fake");
    assert_eq!(plan[0]["remove"][0]["name"], "fake-old-0a1b2c3d");
    assert_eq!(home.bottles().len(), 1);
}

#[test]
fn it_is_removed_when_the_user_says_so() {
    let home = with_orphan();
    assert_snapshot!(home.shown(&["cleanup"]), @"
    exit 1
    --- stderr
    ACTION  BACKEND  KIND    NAME               WHY
    remove  fake     bottle  fake-old-[ID]  its run is gone
    error: cannot ask: standard input is not a terminal

    hint: add --yes to remove without asking, or --dry-run to remove nothing
    ");
    assert_eq!(home.bottles().len(), 1);
    assert_snapshot!(home.shown(&["cleanup", "--yes"]), @"
    exit 0
    --- stderr
    ACTION  BACKEND  KIND    NAME               WHY
    remove  fake     bottle  fake-old-[ID]  its run is gone
    removed bottle fake-old-[ID]
    ");
    home.assert_nothing_left();
}

/// Leaves the files of a run behind whose process and whose reaper were killed.
fn with_dead_run(home: &Home) {
    let stage = home.path().join("tmp/claude-bottle-Ab12Cd");
    fs::create_dir(&stage).unwrap();
    fs::write(stage.join("scratch"), "").unwrap();
    let host = rustix::system::uname().nodename().to_str().unwrap().to_owned();
    let record = serde_json::json!({
        "id": "old-0a1b2c3d", "backend": "fake", "agent": "old", "bottle": "dev", "name": "fake-old-0a1b2c3d",
        "owner": { "host": host, "pid": 4194305, "started": 1 }, "created_unix": 1, "phase": "running", "stage": stage,
    });
    home.write(".local/state/claude-bottle/bottles/old-0a1b2c3d/record.json", &record.to_string());
    home.write(".local/state/claude-bottle/bottles/old-0a1b2c3d/.tmpAb12Cd", "{");
}

#[test]
fn the_files_of_a_dead_run_are_removed_and_its_record_is_kept() {
    let home = with_orphan();
    with_dead_run(&home);
    assert_snapshot!(home.shown(&["cleanup", "--yes"]), @"
    exit 0
    --- stderr
    ACTION  BACKEND  KIND    NAME               WHY
    remove  fake     bottle  fake-old-[ID]  its run is gone
    remove  fake     files   old-[ID]       its run is gone
    removed bottle fake-old-[ID]
    removed files old-[ID]
    ");
    home.assert_nothing_left();
    assert_eq!(home.names_in(".local/state/claude-bottle/bottles/old-0a1b2c3d"), ["record.json"]);
    let shown = json(&home.call(&["logs", "old", "--format", "json"]));
    assert_eq!(shown["phase"], "ended");
    assert_snapshot!(home.shown(&["cleanup"]), @"
    exit 0
    --- stderr
    nothing is left over
    ");
}

#[test]
fn the_files_of_a_process_that_was_killed_at_the_question_are_removed() {
    let home = Home::new();
    let terminal = Terminal::start(&home.command(&["start", "hello"]));
    terminal.wait_for("[y/N, d for details]");
    assert_eq!(home.names_in("tmp").len(), 1);
    assert_snapshot!(home.shown(&["cleanup"]), @"
    exit 0
    --- stderr
    nothing is left over
    ");
    terminal.kill();
    let stage = home.names_in("tmp").remove(0);
    let shown = home.shown(&["cleanup", "--yes"]).replace(&stage, "[STAGE]");
    assert_snapshot!(shown, @"
    exit 0
    --- stderr
    ACTION  BACKEND  KIND   NAME                                       WHY
    remove  -        files  [HOME]/tmp/[STAGE]  its process is gone
    removed files [HOME]/tmp/[STAGE]
    ");
    home.assert_nothing_left();
}

#[test]
fn a_directory_that_only_has_such_a_name_stays() {
    let home = Home::new();
    for (name, owner) in
        [("claude-bottle-notes", None), ("claude-bottle-x", Some("{}")), ("other", Some("{}"))]
    {
        home.write(&format!("tmp/{name}/file"), "");
        owner.map(|owner| home.write(&format!("tmp/{name}/owner.json"), owner));
    }
    assert_code(&home.call(&["cleanup", "--yes"]), 0);
    assert_eq!(home.names_in("tmp").len(), 3);
}

#[test]
fn it_is_asked_for_on_a_terminal() {
    let home = with_orphan();
    for (answer, left) in [("n\r", 1), ("y\r", 0)] {
        let mut terminal = Terminal::start(&home.command(&["cleanup"]));
        terminal.wait_for("[y/N]");
        terminal.type_keys(answer);
        terminal.ends_with(0);
        assert_eq!(home.bottles().len(), left, "after {answer:?}");
    }
}

#[test]
fn a_live_bottle_stays_unless_all_is_meant() {
    let home = Home::new();
    let run = Live::start(&mut home.command(&["start", "shell", "--yes", "--", "echo ready; cat"]));
    run.wait_for_stdout("ready");
    assert_snapshot!(home.shown(&["cleanup", "--yes"]), @"
    exit 0
    --- stderr
    ACTION  BACKEND  KIND    NAME                 WHY
    keep    fake     bottle  fake-shell-[ID]  its run is alive
    ");
    assert_eq!(home.bottles().len(), 1);
    let output = home.call(&["cleanup", "--yes", "--all"]);
    assert_code(&output, 0);
    assert_says(&stderr(&output), &["removed bottle fake-shell-"]);
    assert_eq!(home.bottles().len(), 0);
    assert_code(&run.end(), 0);
}

#[test]
fn two_at_once_do_not_hinder_each_other() {
    let home = with_orphan();
    let start = || Live::start(&mut home.command(&["cleanup", "--yes"]));
    for run in [start(), start()] {
        assert_code(&run.end(), 0);
    }
    home.assert_nothing_left();
}

/// Calls the program in a pid namespace of its own, with its own `/proc` or with that of outside.
fn call_in_another_namespace(home: &Home, with_proc: bool, arguments: &[&str]) -> std::process::Output {
    let program = home.command(arguments);
    let mut unshare = std::process::Command::new("/usr/bin/unshare");
    unshare.args(["--user", "--map-root-user", "--pid", "--fork", "--kill-child"]);
    unshare.args(with_proc.then_some("--mount-proc")).arg("--").arg(program.get_program());
    unshare.args(program.get_args()).env_clear().current_dir(home.work());
    for (name, value) in program.get_envs() {
        unshare.envs(value.map(|value| (name, value)));
    }
    unshare.stdin(std::process::Stdio::null()).output().unwrap()
}

#[test]
fn a_bottle_of_another_pid_namespace_is_kept_and_named() {
    let home = Home::new();
    let run = Live::start(&mut home.command(&["start", "shell", "--yes", "--", "echo ready; cat"]));
    run.wait_for_stdout("ready");
    for with_proc in [true, false] {
        for arguments in [&["cleanup", "--dry-run"][..], &["cleanup", "--yes"]] {
            let output = call_in_another_namespace(&home, with_proc, arguments);
            assert_code(&output, 0);
            let said = stdout(&output) + &stderr(&output);
            assert_says(
                &said,
                &[
                    "keep    fake     bottle  fake-shell-",
                    "cannot be judged: process ",
                    "another pid namespace",
                ],
            );
            assert!(!said.contains("remove"), "{said}");
        }
    }
    assert_eq!(home.bottles().len(), 1);
    // It is judged where it can be.
    assert_says(&stdout(&home.call(&["cleanup", "--dry-run"])), &["its run is alive"]);
    assert_code(&run.end(), 0);
}

#[test]
fn what_an_earlier_start_of_this_machine_left_is_removed_and_what_another_kernel_may_run_is_kept() {
    let home = with_orphan();
    let record = home.path().join(".local/share/claude-bottle/backends/fake/bottles/fake-old-0a1b2c3d.json");
    let machine = json(&home.call(&["cleanup", "--dry-run", "--format", "json"]))[0]["remove"][0]["owner"]["machine_id"].clone();
    assert_eq!(machine, "", "it is from before contract 1.1");
    let run = Live::start(&mut home.command(&["start", "shell", "--yes", "--", "echo ready; cat"]));
    run.wait_for_stdout("ready");
    let kept = json(&home.call(&["cleanup", "--dry-run", "--format", "json"]))[0]["keep"][0]["owner"].clone();
    assert_code(&run.end(), 0);
    let mut old: serde_json::Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    old["owner"] = kept;
    old["owner"]["boot_id"] = "00000000-1111-2222-3333-444444444444".into();
    for (machine, verdict) in [(None, "remove"), (Some("of-another"), "keep")] {
        if let Some(machine) = machine {
            old["owner"]["machine_id"] = machine.into();
        } else if old["owner"]["machine_id"] == "" {
            // A container may have no `/etc/machine-id`; nothing tells its kernels apart.
            continue;
        }
        fs::write(&record, old.to_string()).unwrap();
        let plan = json(&home.call(&["cleanup", "--dry-run", "--format", "json"]));
        assert_eq!(plan[0][verdict][0]["id"], "fake-old-0a1b2c3d", "{plan}");
    }
}
