//! A disk that is full, the engine's or the one the records are on: it is said, and nothing stays behind.

use std::fs;
use std::path::Path;

use super::frozen::Frozen;
use super::{engine, home, on};
use crate::egress::session::Session;
use crate::support::home::Home;
use crate::support::private_engine::{Options, PrivateEngine};
use crate::support::{run, stderr};

/// Fails unless an end was an error that names the full disk, and nothing is left.
#[track_caller]
fn assert_full(engine: &PrivateEngine, home: &Home, agent: &str, (code, said): (Option<i32>, String)) {
    assert_eq!(code, Some(125), "{said}");
    assert!(said.to_lowercase().contains("no space left on device"), "{said}");
    assert_eq!(engine.client().resources_of(agent), Vec::<String>::new(), "after:\n{said}");
    assert_eq!(engine.docker(&["volume", "ls", "--quiet"]), "", "after:\n{said}");
    assert_eq!(home.left_in_tmp(), Vec::<String>::new(), "after:\n{said}");
}

#[test]
fn a_full_disk_of_the_engine_is_named_and_nothing_is_left() {
    let agent = "e2e-full";
    let engine = engine(&Options { size: "400m", ..Options::default() });
    let manifest = format!(
        "bottles: {{ dev: {{ egress: {{ allowlist: [] }} }} }}\n\
         agents: {{ {agent}: {{ bottle: dev, command: [bash], skills: [large] }} }}\n"
    );
    let home = on(&engine, Home::new(&manifest));
    home.skill("large", &"x".repeat(1 << 20));
    // A bottle fits, and its guard's image is there from then on.
    let start = |home: &Home| {
        let output = run(&mut home.command(&["--quiet", "start", agent, "--yes"]));
        (output.status.code(), stderr(&output))
    };
    assert_eq!(start(&home), (Some(0), String::new()));
    for step in ["create-egress-network", "create-agent", "start-agent"] {
        let frozen = Frozen::at(&home, agent, step);
        engine.fill();
        let ended = frozen.thaw();
        engine.make_room();
        assert!(ended.1.contains("hint: docker system df"), "{}", ended.1);
        assert_full(&engine, &home, agent, ended);
    }
    let unbuilt = home.env("CLAUDE_BOTTLE_IMAGE", "not-built-yet:latest");
    engine.fill();
    let ended = start(&unbuilt);
    engine.make_room();
    assert!(ended.1.contains("build image `not-built-yet:latest`"), "{}", ended.1);
    assert_full(&engine, &unbuilt, agent, ended);
    // With room it works again.
    assert_eq!(start(&on(&engine, unbuilt)), (Some(0), String::new()));
}

/// Fills the disk a directory is on, to the last byte.
fn fill(disk: &Path) {
    let block = vec![0; 1 << 20];
    for (name, size) in [("fill", block.len()), ("fill-up", 1)] {
        let mut file = fs::File::create(disk.join(name)).unwrap();
        while std::io::Write::write_all(&mut file, &block[..size]).is_ok() {}
    }
}

#[test]
fn records_that_cannot_be_written_stop_a_launch_and_end_a_bottle() {
    let agent = "e2e-full-state";
    let engine = engine(&Options::default());
    let disk = engine.small_disk("2m");
    let state = disk.join("state");
    let home =
        home(&engine, &[agent], "      allowlist: []\n").env("XDG_STATE_HOME", state.to_str().unwrap());
    let make_room = || ["fill", "fill-up"].map(|name| fs::remove_file(disk.join(name)).unwrap());
    for step in ["create-egress-network", "set-up"] {
        let frozen = Frozen::at(&home, agent, step);
        fill(&disk);
        let ended = frozen.thaw();
        make_room();
        assert_full(&engine, &home, agent, ended);
    }

    // What the proxy decided cannot be kept.
    let mut session = Session::start(&home, agent);
    session.ok("true");
    fill(&disk);
    assert_eq!(session.ok("curl -s -o /tmp/body -w '%{http_code}' http://refused.test/"), "403");
    let code = session.ended();
    let said = fs::read_to_string(home.path().join(format!("{agent}.stderr"))).unwrap();
    assert!(said.contains("save the egress log"), "{said}");
    assert_full(&engine, &home, agent, (code, said));

    let output = run(&mut home.command(&["--quiet", "start", agent, "--yes"]));
    let said = stderr(&output);
    assert!(said.starts_with("error: cannot write the record of run"), "{said}");
    assert_full(&engine, &home, agent, (output.status.code(), said));
}
