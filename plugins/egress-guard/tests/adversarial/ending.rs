//! Rules that end by themselves, in a guard that nothing speaks to meanwhile.

use std::time::{SystemTime, UNIX_EPOCH};

use claude_bottle_egress_policy::date_time;
use serde_json::{Value, json};

use crate::support::{Guard, Upstream, allowing, open_tunnel, read_all};

fn seconds_from_now(seconds: u64) -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + seconds
}

/// A policy whose second rule ends by itself.
fn policy(upstream: &Upstream, until: &Value) -> Value {
    let mut policy = allowing(upstream, &["ok.test", "other.test"]);
    policy["rules"][1]["until"] = until.clone();
    policy
}

#[test]
fn what_a_rule_let_through_ends_with_it_and_nothing_else_does() {
    let upstream = Upstream::echo();
    let guard = Guard::start_controlled(&json!({ "policy": policy(&upstream, &json!(null)) }));
    let place = |name: &str| format!("{name}:{}", upstream.port);
    let kept = open_tunnel(guard.address(), &place("ok.test"));
    let mut ended = open_tunnel(guard.address(), &place("other.test"));
    let until = seconds_from_now(1);
    assert_eq!(guard.change(&policy(&upstream, &json!(until)))["event"], "reloaded");
    assert!(read_all(&mut ended).is_empty());
    assert!(seconds_from_now(0) >= until);
    let line = guard.decision(&json!({ "event": "close", "host": "other.test" }));
    assert_eq!((&line["verdict"], &line["code"]), (&json!("deny"), &json!("not_in_allowlist")), "{line}");
    let reason =
        format!("the policy was changed: removed `{} until {}Z`", place("other.test"), date_time(until));
    guard.decision(&json!({ "event": "policy", "reason": reason }));
    assert!(!guard.log().iter().any(|line| line["event"] == "close" && line["host"] == "ok.test"));
    drop(kept);
    // One whose time is over when it is given ends as well.
    guard.change(&policy(&upstream, &json!(1)));
    guard.decision(&json!({ "event": "policy", "reason": format!("the policy was changed: removed `{} until 1970-01-01T00:00:01Z`", place("other.test")) }));
}

#[test]
fn an_end_that_is_not_a_time_is_refused_whole() {
    let upstream = Upstream::echo();
    let guard = Guard::start_controlled(&json!({ "policy": policy(&upstream, &json!(null)) }));
    for wrong in [json!("soon"), json!(-1), json!(1.5), json!([])] {
        assert_eq!(guard.change(&policy(&upstream, &wrong))["event"], "reload_failed", "{wrong}");
    }
    assert!(!guard.log().iter().any(|line| line["event"] == "policy"));
}
