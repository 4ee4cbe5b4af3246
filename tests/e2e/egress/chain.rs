//! The chain of a real guard's log, as `logs --verify` follows it when the run is over.

use std::fs;
use std::process::Output;

use crate::support::backend::{Backend, on_each_backend};
use crate::support::home::Home;

on_each_backend!(a_log_is_intact_when_its_run_is_over_and_a_changed_line_is_named);

fn a_log_is_intact_when_its_run_is_over_and_a_changed_line_is_named(backend: Backend) {
    let agent = format!("e2e-chain-{}", backend.name());
    let script = "for host in one two three; do curl -s -o /dev/null http://$host.test/; done";
    let home = Home::new(&format!(
        "bottles: {{ dev: {{}} }}\nagents: {{ {agent}: {{ bottle: dev, command: [bash, -c, '{script}'] }} }}\n"
    ));
    let started = backend.command(&home, &["start", &agent, "--yes", "--quiet"]).output().unwrap();
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    let verify = || backend.command(&home, &["logs", &agent, "--verify"]).output().unwrap();
    let said = |output: &Output| String::from_utf8(output.stdout.clone()).unwrap();
    let intact = verify();
    assert!(intact.status.success(), "{}", said(&intact));
    assert!(said(&intact).contains("lines  3\n"), "{}", said(&intact));

    let run = home.runs().pop().unwrap();
    let log = home.state().join("bottles").join(run).join("egress.jsonl").canonicalize().unwrap();
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.replace("two.test", "2wo.test")).unwrap();
    let changed = verify();
    assert_eq!(changed.status.code(), Some(1));
    assert!(said(&changed).contains("egress.jsonl:3  line 2 was changed"), "{}", said(&changed));
}
