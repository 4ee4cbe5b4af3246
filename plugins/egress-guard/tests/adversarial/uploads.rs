//! How much may go up to hosts in one run: in bodies, in frames, and in tunnels that are not opened.

use std::io::{Read, Write};

use serde_json::{Value, json};

use crate::support::held::{OK, World};
use crate::support::inside::ask;
use crate::support::{Guard, Upstream, allowing, get, open_tunnel, read_all, send};

fn limited(limits: &Value) -> World {
    let limits = limits.clone();
    World::with(|_| vec![OK.to_vec()], None, move |config| config["upload_limits"] = limits)
}

#[test]
fn bodies_count_together_and_one_that_does_not_fit_is_refused_before_any_of_it_goes() {
    let world = limited(&json!([{ "hosts": "*", "bytes": 100 }, { "hosts": "else.test", "bytes": 10 }]));
    let body = |count: usize| "x".repeat(count);
    assert_eq!(world.ask("own.test", "POST /1", ("", &body(60))).status, 200);
    // Every host that no other limit names.
    let refused = world.ask("model.test", "POST /2", ("", &body(41)));
    assert_eq!((refused.status, refused.code()), (403, "upload_limit"));
    assert!(refused.body.contains("no more than 100 bytes may go up to `*`"), "{}", refused.body);
    assert!(!world.upstream.received().contains("POST /2"));
    assert_eq!(world.ask("model.test", "POST /3", ("", &body(40))).status, 200);
    assert_eq!(world.ask("own.test", "POST /4", ("", &body(1))).code(), "upload_limit");
    // A request without a body sends nothing that is counted, and the narrower limit has a count of its own.
    assert_eq!(world.ask("own.test", "GET /5", ("", "")).status, 200);
    assert_eq!(world.ask("else.test", "POST /6", ("", &body(10))).status, 200);
    assert_eq!(world.ask("else.test", "POST /7", ("", &body(1))).code(), "upload_limit");
    world.guard.decision(&json!({ "code": "upload_limit", "verdict": "deny", "path": "/7" }));
}

#[test]
fn a_body_whose_length_nobody_has_said_ends_where_the_limit_is() {
    let world = limited(&json!([{ "hosts": "own.test", "bytes": 1000 }]));
    let chunk = format!("258\r\n{}\r\n", "y".repeat(0x258));
    let head = world.request("own.test", "POST /", ("Transfer-Encoding: chunked\r\n", ""));
    let answer = ask(&mut world.inside("own.test"), &format!("{head}{chunk}{chunk}0\r\n\r\n"));
    assert_eq!((answer.status, answer.code()), (403, "upload_limit"));
    assert!(world.upstream.received().matches('y').count() <= 1000, "{}", world.upstream.received());
}

#[test]
fn another_policy_gives_back_nothing() {
    let world = limited(&json!([{ "hosts": "own.test", "bytes": 10 }]));
    assert_eq!(world.ask("own.test", "POST /1", ("", "0123456789")).status, 200);
    let policy = world.guard.config()["policy"].clone();
    assert_eq!(world.guard.change(&policy)["event"], "reloaded");
    assert_eq!(world.ask("own.test", "POST /2", ("", "0")).code(), "upload_limit");
}

#[test]
fn plain_requests_and_tunnels_that_are_not_opened_are_limited_too() {
    let upstream = Upstream::echo();
    let config = json!({
        "policy": allowing(&upstream, &["ok.test"]),
        "upload_limits": [{ "hosts": "ok.test", "bytes": 3_000_000 }],
    });
    let guard = Guard::start(&config);
    let authority = format!("ok.test:{}", upstream.port);
    let mut tunnel = open_tunnel(guard.address(), &authority);
    let mut reader = tunnel.try_clone().unwrap();
    let echoed = std::thread::spawn(move || {
        let (mut piece, mut count) = ([0; 65536], 0);
        while let Ok(more @ 1..) = reader.read(&mut piece) {
            count += more;
        }
        count
    });
    let piece = [b'z'; 65536];
    while tunnel.write_all(&piece).is_ok() {}
    let echoed = echoed.join().unwrap();
    // What the sockets held at that moment has gone.
    assert!(echoed < 12_000_000, "{echoed} bytes came back");
    guard.decision(&json!({ "event": "close", "code": "upload_limit", "verdict": "deny" }));
    drop(read_all(&mut tunnel));
    // The run has used up what it may.
    let ok = Upstream::ok();
    let mut config = config;
    config["policy"] = allowing(&ok, &["ok.test"]);
    config["upload_limits"][0]["bytes"] = json!(4);
    let guard = Guard::start(&config);
    let authority = format!("ok.test:{}", ok.port);
    let post = |body: &str| {
        let head = String::from_utf8(get(&authority, "/")).unwrap().replacen("GET", "POST", 1);
        let head = head.replace(
            "Connection: close\r\n",
            &format!("Connection: close\r\nContent-Length: {}\r\n", body.len()),
        );
        send(guard.address(), format!("{head}{body}").as_bytes())
    };
    assert_eq!(post("abcd").status, 200);
    assert_eq!(post("e").code(), "upload_limit");
}
