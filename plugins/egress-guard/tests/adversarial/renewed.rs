//! Another value for a held secret while the guard runs: put in from then on, while the one before stays a secret.

use serde_json::{Value, json};

use crate::support::held::{HOLDER, OK, VALUE, World};
use crate::support::inside::ask;

/// The second value.
const NEXT: &str = "n3xtValue9876543210zyx";

/// Gives a secret a value, and returns the guard's answer.
fn set(world: &World, name: &str, value: &Value) -> Value {
    let line = json!({ "reload": "1", "secret": { "name": name, "value": value } });
    world.guard.control(&format!("{line}\n"))
}

#[test]
fn a_new_value_is_put_in_from_then_on_and_the_one_before_stays_a_secret() {
    let world = World::answering(|request| {
        // A host that says back what it was sent, and what it was sent before.
        let body = format!(
            "{VALUE} {}",
            request.lines().find(|line| line.starts_with("authorization")).unwrap_or_default()
        );
        vec![format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()]
    });
    let bearer = format!("Authorization: Bearer {HOLDER}\r\n");
    let mut open = world.inside("own.test");
    assert_eq!(ask(&mut open, &world.request("own.test", "GET /", (&bearer, ""))).status, 200);
    assert_eq!(set(&world, "TOKEN", &json!(NEXT)), json!({ "event": "reloaded", "reload": "1" }));
    // On a connection that was open before, and on another.
    let answer = ask(&mut open, &world.request("own.test", "GET /", (&bearer, "")));
    let stars = "*".repeat(VALUE.len());
    assert_eq!(answer.body, format!("{stars} authorization: Bearer {}", "*".repeat(NEXT.len())));
    assert_eq!(world.ask("own.test", "GET /", (&bearer, "")).status, 200);
    let received = world.upstream.received();
    assert_eq!(received.matches(&format!("authorization: Bearer {VALUE}\r\n")).count(), 1);
    assert_eq!(received.matches(&format!("authorization: Bearer {NEXT}\r\n")).count(), 2);
    // Neither may come from the agent.
    for value in [VALUE, NEXT] {
        assert_eq!(world.ask("else.test", "POST /", ("", value)).code(), "dlp_secret");
    }
    let line = world.guard.decision(&json!({ "event": "policy" }));
    assert!(line["reason"].as_str().unwrap().ends_with("the secret `TOKEN` has another value"), "{line}");
    world.is_silent();
    assert!(world.guard.log().iter().all(|line| !line.to_string().contains(NEXT)));
}

#[test]
fn what_is_no_value_of_a_held_secret_changes_nothing_and_is_not_repeated() {
    let world = World::with(|_| vec![OK.to_vec()], None, |_| ());
    for (name, value, part) in [
        ("OTHER", json!(NEXT), "holds no secret `OTHER`"),
        ("TOKEN", json!("hunter2"), "`TOKEN` has not a valid value"),
        ("TOKEN", json!("hunter2 hunter2"), "`TOKEN` has not a valid value"),
        ("TOKEN", json!("hunter2\r\nhunter2: x"), "`TOKEN` has not a valid value"),
        ("TOKEN", json!(HOLDER), "`TOKEN` has not a valid value"),
        ("TOKEN", json!(["hunter2-hunter2"]), "`secret` is not a name and a value"),
    ] {
        let answer = set(&world, name, &value);
        let error = answer["error"].as_str().unwrap_or_else(|| panic!("{answer}"));
        assert!(error.contains(part) && !error.contains("hunter2") && !error.contains(NEXT), "{error}");
    }
    let bearer = format!("Authorization: Bearer {HOLDER}\r\n");
    assert_eq!(world.ask("own.test", "GET /", (&bearer, "")).status, 200);
    assert!(world.upstream.received().contains(&format!("authorization: Bearer {VALUE}\r\n")));
}
