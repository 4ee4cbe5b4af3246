//! What comes out of a bottle that was halted, whatever the agent has done to its directories.

use std::fs;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::thread;

use claude_bottle_plugin_api::{Backend, ExportRequest, FailureKind, Workspace};

use crate::support::{Bench, Live};

/// Makes a bottle with a working directory that has one file.
fn launch<'a>(bench: &'a Bench, id: &str) -> Live<'a> {
    let source = bench.dir.path().join("project");
    fs::create_dir_all(&source).unwrap();
    fs::write(source.join("kept"), "kept").unwrap();
    let mut spec = bench.spec(id);
    spec.workspace = Some(Workspace::new(&source));
    bench.launch(&spec)
}

/// Exports the working directory of a halted bottle, as bytes.
fn exported(live: &Live<'_>) -> claude_bottle_plugin_api::Result<Vec<u8>> {
    let (bench, (mut reader, writer)) = (live.bench, std::io::pipe().unwrap());
    let reading = thread::spawn(move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        bytes
    });
    let request = ExportRequest::workspace(writer.as_raw_fd());
    let exported = bench.backend.export(&bench.call, &live.bottle, &request);
    drop(writer);
    let bytes = reading.join().unwrap();
    exported.map(|_| bytes)
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

#[test]
fn what_an_agent_closed_to_everyone_comes_out_and_nothing_runs() {
    let bench = Bench::new();
    let live = launch(&bench, "closed");
    let said =
        live.sh("cd; printf canary-closed >workspace/file; chmod 0 workspace/file workspace; chmod 0 .");
    assert_eq!(said.code, 0, "{said:?}");
    bench.backend.halt(&bench.call, &live.bottle).unwrap();
    assert!(live.pids().is_empty() || live.pids().iter().all(|pid| !is_there(*pid)));
    let bytes = exported(&live).unwrap();
    assert!(holds(&bytes, "canary-closed") && holds(&bytes, "kept"));
    live.close();
    assert_eq!(fs::read_dir(bench.bottles()).unwrap().count(), 0);
    let gone = bench.backend.halt(&bench.call, &live.bottle).unwrap_err();
    assert_eq!(gone.kind, FailureKind::NotFound, "{gone}");
}

fn is_there(pid: u64) -> bool {
    fs::metadata(format!("/proc/{pid}")).is_ok()
}

#[test]
fn a_link_in_the_place_of_the_working_directory_leads_nowhere() {
    let bench = Bench::new();
    let outside = bench.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "canary-outside").unwrap();
    let live = launch(&bench, "linked");
    let said = live.sh(&format!("cd; rm -r workspace; ln -s '{}' workspace", outside.display()));
    assert_eq!(said.code, 0, "{said:?}");
    bench.backend.halt(&bench.call, &live.bottle).unwrap();
    let failure = exported(&live).unwrap_err();
    assert!(failure.message.starts_with("the agent replaced its working directory"), "{failure}");
    live.close();
}
