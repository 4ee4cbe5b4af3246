//! A bottle that the user has named is listed, entered and stopped by that name, whatever its backend calls it.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::support::backend::{Backend, on_each_backend};
use crate::support::home::Home;
use crate::support::{assert_code, run, stdout};

on_each_backend!(a_bottle_is_found_by_its_own_name);

fn a_bottle_is_found_by_its_own_name(backend: Backend) {
    let (agent, name) = (&format!("e2e-named-{}", backend.name()), &format!("mine-{}", backend.name()));
    let home = Home::new(&format!(
        "bottles:\n  dev: {{}}\nagents:\n  {agent}:\n    bottle: dev\n    command: [sh, -c, echo ready; cat]\n"
    ));
    let mut start = backend.command(&home, &["start", agent, "--yes", "--cwd", "--name", name]);
    let mut started =
        start.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut said = BufReader::new(started.stdout.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");

    let call = |arguments: &[&str]| run(&mut backend.command(&home, arguments));
    let output = call(&["ps", "--format", "json"]);
    assert_code(&output, 0);
    let listed: Vec<Value> = serde_json::from_str(&stdout(&output)).unwrap();
    let row = listed.iter().find(|row| row["name"] == name.as_str()).unwrap_or_else(|| panic!("{listed:?}"));
    assert_eq!((&row["agent"], &row["requests_blocked"]), (&agent.as_str().into(), &0.into()));
    assert_eq!(row["workspace"], home.work().canonicalize().unwrap().to_str().unwrap());
    assert_ne!(row["backend_name"], name.as_str());
    for bottle in [name.as_str(), row["backend_name"].as_str().unwrap()] {
        let output = call(&["exec", bottle, "--", "echo", "inside"]);
        assert_code(&output, 0);
        assert_eq!(stdout(&output), "inside\n", "{bottle}");
    }
    assert_code(&call(&["start", agent, "--yes", "--name", name]), 125);
    assert_code(&call(&["exec", name, "--", "sh", "-c", "echo new > made"]), 0);
    assert_code(&call(&["rm", name]), 0);
    started.wait().unwrap();
    assert!(stdout(&call(&["diff", name])).contains("+new"));
    let gone = call(&["logs", name, "--format", "json"]);
    let gone: Value = serde_json::from_str(&stdout(&gone)).unwrap();
    assert_eq!((&gone["name"], &gone["phase"]), (&name.as_str().into(), &"ended".into()));
    backend.assert_nothing_left(&home, agent);
}
