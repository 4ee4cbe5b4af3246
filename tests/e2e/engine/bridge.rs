//! A machine whose `docker0` is gone, or is another engine's by now: bottles work all the same, and so do the servers of tests.

use claude_bottle_standin::bridge_address_at;

use super::{engine, home};
use crate::egress::canary::{Canary, TICK};
use crate::egress::session::Session;
use crate::support::private_engine::Options;

/// What happens to it, one after the other.
const TAKEN: [&str; 2] = [
    "ip link delete docker0",
    "ip link add docker0 type bridge; ip address add 10.231.0.1/16 dev docker0; ip link set docker0 up",
];

#[test]
fn a_bottle_and_the_servers_of_tests_need_no_docker0() {
    let agent = "e2e-no-bridge";
    let engine = engine(&Options::default());
    let canary = engine.inside(Canary::open);
    let ip = engine.inside(|| bridge_address_at(Some(&engine.host())).unwrap());
    let port = canary.tcp();
    let egress = format!(
        "      allowlist: ['stream.test:{port}']\n      hosts: {{ stream.test: {ip} }}\n      private: [{{ host: stream.test, range: \
         {ip}/32 }}]\n"
    );
    let home = home(&engine, &[agent], &egress);
    for taken in TAKEN {
        engine.run_inside(&["sh", "-ec", taken]);
        let mut inside = Session::start(&home, agent);
        let said = inside.ok(&format!("curl -sN -m 20 http://stream.test:{port}/ | head -n 1"));
        assert_eq!(said, TICK.trim(), "{taken}");
        assert_eq!(inside.ok("curl -s -o /tmp/body -w '%{http_code}' http://refused.test/"), "403");
        let mut beside = Session::beside(&home, agent);
        assert_eq!(beside.ok("echo here"), "here");
        beside.end();
        inside.end();
        assert_eq!(engine.client().resources_of(agent), Vec::<String>::new());
    }
}
