//! What a bottle has whose manifest says nothing about HTTPS: the guard looks into that of every host.

use std::time::Duration;

use claude_bottle_standin::{Recorded, Script};

use super::secrets::outside;
use crate::egress::decisions;
use crate::egress::session::Session;
use crate::intercept::above::Bottle;
use crate::support::backend::{Backend, on_each_backend_and_podman};
use crate::support::{assert_code, run, stderr, stdout};

on_each_backend_and_podman!(
    every_host_is_looked_into_also_one_that_is_allowed_later_and_none_that_is_passed_through
);

const HOSTS: [&str; 3] = ["first.forge.test", "later.forge.test", "pinned.forge.test"];
/// What the rules take for a token of a forge.
const TOKEN: &str = "ghp_R7kT2vQ9mX4bN6cJ8wL1pZ3sD5fG0hYaEuVo";

fn every_host_is_looked_into_also_one_that_is_allowed_later_and_none_that_is_passed_through(
    backend: Backend,
) {
    let agent = &format!("e2e-every-{}", backend.name());
    let [first, later, pinned] = HOSTS;
    let (server, above, ca) = outside(backend, &HOSTS, Script::default());
    let bottle = Bottle::new(above, &[&ca], &format!("{first}, {pinned}"));
    let home = bottle
        .egress(&format!("passthrough: [{pinned}]"))
        .egress(&format!("upload_limit: {{ {first}: 1m }}"))
        .home(&[agent]);
    let plan = run(&mut backend.command(&home, &["start", agent, "--dry-run", "-v"]));
    let shown = stdout(&plan) + &stderr(&plan);
    assert!(shown.contains(&format!("that of every host; unopened: {pinned}")), "{shown}");
    let mut inside = Session::start_by(backend.command(&home, &["start", agent, "--yes"]), &home, agent);
    let arrived = |path: &str| {
        let found = server.wait_for(Duration::from_secs(20), |request: &Recorded| request.path == path);
        assert!(found.is_some(), "{path} has not arrived");
    };
    let reason = "-o /dev/null -w '%{http_code} %header{x-egress-reason}'";
    for client in ["curl -sS", "node -e 'fetch(process.argv[1]).then(a => a.text())'"] {
        inside.ok(&format!("NODE_USE_ENV_PROXY=1 {client} https://{first}/one"));
        arrived("/one");
    }
    let found = format!("curl -sS {reason} -d 'token={TOKEN}' https://{first}/two");
    assert_eq!(inside.ok(&found), "403 dlp_rule");
    let much = format!("head -c 2000000 /dev/zero | curl -sS {reason} -T - https://{first}/three");
    assert_eq!(inside.ok(&much), "403 upload_limit");

    inside.fails(&format!("curl -sS -f https://{later}/four"));
    assert_code(&run(&mut backend.command(&home, &["policy", "allow", agent, later])), 0);
    inside.ok(&format!("curl -sS https://{later}/five"));
    arrived("/five");
    let asked = run(&mut backend.command(&home, &["policy", "check", agent, later]));
    assert!(stdout(&asked).contains("https: opened"), "{}", stdout(&asked));

    // Its own certificate, which the bottle does not trust by itself; the file of the authority is the test's.
    let own = std::fs::read_to_string(&*ca).unwrap();
    inside.write("/tmp/own.pem", &own);
    inside.ok(&format!("curl -sS --cacert /tmp/own.pem https://{pinned}/six"));
    arrived("/six");
    // A client that pins another authority says so by leaving.
    inside.fails(&format!("curl -sS --cacert /tmp/own.pem https://{first}/seven"));
    inside.end();
    let log = decisions(&home);
    let paths = |host: &str| {
        let seen = log.iter().filter(|line| line["host"] == host).filter_map(|line| line["path"].as_str());
        seen.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(paths(later), ["/five"]);
    assert_eq!(paths(pinned), Vec::<String>::new());
    let said = std::fs::read_to_string(home.path().join(format!("{agent}.stderr"))).unwrap();
    assert!(said.contains("1 client left at the sight of the bottle's certificate"), "{said}");
    assert!(said.contains(&format!("add {first} to `egress.passthrough` of bottle `dev`")), "{said}");
    backend.assert_nothing_left(&home, agent);
}
