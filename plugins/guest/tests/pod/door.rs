//! The door: who comes through it, and what ends with what.

use bottle_guest::pod::client::Said;
use bottle_guest::pod::verbs::{Outcome, Side, Verb};
use bottle_guest::pod::{BOTTLE_GONE, GUARD_GONE, LINK};

use crate::support::{Host, POLICY, PROGRAMS, Pod, Shape, docker, try_docker};

#[test]
fn the_door_is_taken_once_and_is_gone() {
    let host = Host::new();
    assert_eq!(docker(&["exec", &host.pod.guard(), "ls", &format!("{LINK}/door")]), "");
    assert!(host.link.welcome().is_some());
    // Another process 1 finds none, whoever it is.
    let second = format!("{}-second", host.pod.name);
    let link = format!("{}:{LINK}:ro", host.pod.name);
    let image = docker(&["inspect", "--format", "{{.Config.Image}}", &host.pod.agent()]);
    let connect = format!(
        "socket(S,1,1,0); connect(S,pack(q(Sa*),1,q({LINK}/door/door.sock))) and die q(in); print $!"
    );
    let said = docker(&[
        "run", "--rm", "--name", &second, "--user", "1000", "--volume", &link, &image, "perl", "-e", &connect,
    ]);
    assert_eq!(said, "No such file or directory");
}

#[test]
fn a_visitor_of_another_user_is_not_let_in() {
    let pod = Pod::guard_alone(Shape::default());
    let connect = format!(
        "socket(S,1,1,0); connect(S,pack(q(Sa*),1,q({LINK}/door/door.sock))) or die $!; \
         print sysread(S,$b,1) // 1"
    );
    // The guard's own user is not the agent's.
    let wait = format!("until [ -S {LINK}/door/door.sock ]; do :; done; perl -e '{connect}'");
    assert_eq!(docker(&["exec", &pod.guard(), "sh", "-c", &wait]), "0");
    // The agent's is let in afterwards.
    pod.start_agent(Shape::default());
    let link = pod.link(Some(60));
    assert!(matches!(link.ask(Side::Bottle, &Verb::Wall, &mut &b""[..]).unwrap(), Outcome::Wall(_)));
}

#[test]
fn another_user_of_the_guards_container_is_not_heard() {
    let host = Host::new();
    let program = format!("{PROGRAMS}/egress-guard");
    let (code, _, said) = try_docker(&["exec", "--user", "1000:1000", &host.pod.guard(), &program, "knock"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("Permission denied"), "{said}");
}

#[test]
fn containers_begin_in_any_order() {
    let pod = Pod::guard_alone(Shape::default());
    let link = pod.link(Some(60));
    assert!(!link.welcome().unwrap().has_bottle);
    // Asked before there is anything to answer.
    let wall = link.call(Side::Bottle, &Verb::Wall).unwrap();
    pod.start_agent(Shape::default());
    assert!(matches!(wall.outcome().unwrap(), Outcome::Wall(_)));
}

#[test]
fn without_its_guard_a_bottle_ends() {
    let host = Host::new();
    let call = host.begin(&["sleep", "600"], None);
    docker(&["kill", &host.pod.guard()]);
    assert_eq!(host.pod.end_of(&host.pod.agent()), GUARD_GONE.to_string());
    drop(call);
}

#[test]
fn without_its_bottle_a_guard_ends() {
    let host = Host::new();
    docker(&["kill", &host.pod.agent()]);
    assert_eq!(host.pod.end_of(&host.pod.guard()), BOTTLE_GONE.to_string());
}

#[test]
fn a_guard_takes_one_policy_and_then_changes() {
    let host = Host::new();
    let again = host.ask(Side::Guard, &Verb::Policy, format!("{POLICY}...\n").as_bytes());
    assert_eq!(again, Outcome::Failed { message: "the guard has its policy already".to_owned() });
    let fetch = "curl -sS -m 20 -o /dev/null -w '%{http_code}' -x http://127.0.0.1:8888 http://127.0.0.1:9/";
    assert_eq!(host.sh(fetch).out, "403");
    let line = br#"{"reload":"r1","policy":{"rules":[{"rule":"example.test"}]}}"#;
    let Outcome::Answer { line } = host.ask(Side::Guard, &Verb::Reload, line) else { panic!("no answer") };
    assert!(line.contains("reloaded"), "{line}");
    let Outcome::Answer { line } = host.ask(Side::Guard, &Verb::Reload, b"{\"reload\":") else {
        panic!("no answer")
    };
    assert!(line.contains("failed"), "{line}");
}

#[test]
fn a_side_does_not_do_what_is_the_others() {
    let host = Host::new();
    let failed = |outcome| matches!(outcome, Outcome::Failed { .. });
    assert!(failed(host.ask(Side::Bottle, &Verb::Policy, b"")));
    assert!(failed(host.ask(Side::Guard, &Verb::Halt, b"")));
    assert!(failed(host.ask(Side::Bottle, &Verb::Setup, b"{}")));
}

#[test]
fn decisions_are_told_as_they_come() {
    let host = Host::new();
    let log = host.link.call(Side::Guard, &Verb::Log { from: 0, follow: true }).unwrap();
    host.sh("curl -sS -m 20 -x http://127.0.0.1:8888 http://refused.test/");
    let heard = crate::support::hear_until(&log, "refused.test");
    assert!(heard.contains("\"verdict\":\"deny\"") || heard.contains("refused.test"), "{heard}");
    assert!(docker(&["logs", &host.pod.guard()]).contains("refused.test"));
    let all = host.link.call(Side::Guard, &Verb::Log { from: 0, follow: false }).unwrap();
    let Said::Out(lines) = all.next().unwrap() else { panic!("no lines") };
    assert_eq!(lines.last(), Some(&b'\n'));
    assert_eq!(all.outcome().unwrap(), Outcome::Done);
}
