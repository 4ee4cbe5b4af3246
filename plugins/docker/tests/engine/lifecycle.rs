//! Making and removing bottles.

use claude_bottle_plugin_api::*;

use crate::support::{Run, backend, docker};

#[test]
fn a_bottle_is_made_used_and_removed_without_a_trace() {
    let backend = backend(&[]);
    let mut run = Run::new("first", &[]);
    run.spec.agent.prompt = "be brief".to_owned();
    run.spec.bottle.env.push(EnvVar::literal("PLAIN", "value"));
    let live = run.start(&backend);
    assert_eq!(run.leftovers().len(), 5, "{:?}", run.leftovers());
    assert_eq!(live.provisioned.prompt_path.as_deref(), Some("/home/node/.claude-bottle-prompt.txt"));

    let script = r#"id -un; pwd; echo "$PLAIN"; cat ~/.claude-bottle-prompt.txt; cat; echo oops >&2; exit 7"#;
    let said = live.sh(&backend, &run, script, b" and kind\n");
    assert_eq!(said.stdout, "node\n/home/node/workspace\nvalue\nbe brief and kind\n");
    assert_eq!((said.stderr.as_str(), said.code), ("oops\n", 7));

    let said =
        live.sh(&backend, &run, "curl -sS -m 5 http://example.com/ -o /dev/null -w '%{http_code}'", b"");
    assert_eq!(said.stdout, "403", "{said:?}");

    backend.close(&run.call(), &live.bottle).unwrap();
    backend.close(&run.call(), &live.bottle).unwrap();
    assert_eq!(run.leftovers(), Vec::<String>::new());
    let log = std::fs::read_to_string(run.spec.state_dir.join("egress.jsonl")).unwrap();
    assert!(log.contains("example.com"), "{log}");
}

#[test]
fn two_bottles_of_one_agent_have_names_of_their_own() {
    let backend = backend(&[]);
    let (one, two) = (Run::new("twin", &[]), Run::new("twin", &[]));
    let (first, second) = (one.start(&backend), two.start(&backend));
    assert_eq!(first.bottle.name, "claude-bottle-twin");
    assert_eq!(second.bottle.name, "claude-bottle-twin-2");
    backend.close(&one.call(), &first.bottle).unwrap();
    assert_eq!(second.sh(&backend, &two, "echo alive", b"").stdout, "alive\n");
    backend.close(&two.call(), &second.bottle).unwrap();
    assert_eq!([one.leftovers(), two.leftovers()].concat(), Vec::<String>::new());
}

#[test]
fn a_failure_after_any_step_leaves_nothing() {
    for step in [
        "create-internal-network",
        "create-egress-network",
        "agent-image",
        "sidecar-image",
        "create-sidecar",
        "configure-sidecar",
        "connect-sidecar",
        "start-sidecar",
        "create-agent",
        "start-agent",
        "await-sidecar",
    ] {
        let backend = backend(&[("FAULT", &format!("after:{step}"))]);
        let run = Run::new("faulty", &[]);
        let plan = backend.prepare(&run.call(), &run.spec).unwrap();
        let failure = backend.launch(&run.call(), &plan).unwrap_err();
        assert!(failure.message.contains(step), "{failure:?}");
        assert_eq!(failure.undo, [], "{step}");
        assert_eq!(run.leftovers(), Vec::<String>::new(), "{step}");
    }
}

#[test]
fn a_plan_makes_nothing_in_the_engine() {
    let backend = backend(&[]);
    let run = Run::new("planned", &[]);
    let before = docker(&["ps", "-aq"]);
    let plan = backend.prepare(&run.call(), &run.spec).unwrap();
    assert_eq!(plan.name, "claude-bottle-planned");
    assert_eq!(plan.image.as_deref(), Some("claude-bottle:latest"));
    assert_eq!(docker(&["ps", "-aq"]), before);
    assert_eq!(run.leftovers(), Vec::<String>::new());
}
