//! An engine that restarts, or dies and comes back, while its containers live on: the wall around a bottle stands.

use std::net::IpAddr;

use rustix::process::Signal;

use super::{engine, home};
use crate::egress::below_http::{
    LOOPBACK, OVER_A_NETWORK, SERVE, answered, assert_no_other_way, assert_no_way_through_the_proxy,
    proxy_address, targets_at,
};
use crate::egress::canary::{Canary, TICK};
use crate::egress::session::Session;
use crate::support::private_engine::{Options, PrivateEngine, WORLD};
use crate::support::{assert_code, run};

const AGENT: &str = "e2e-outlive";
const SIBLING: &str = "e2e-outlive-sibling";

/// The surroundings of a bottle.
struct Around<'a> {
    engine: &'a PrivateEngine,
    canary: &'a Canary,
    /// The other bottle's address.
    neighbour: &'a str,
}

impl Around<'_> {
    /// Returns every address there is but the proxy's: the machine's, gateways, the other bottle and both sidecars.
    fn addresses(&self, proxy: &str) -> Vec<String> {
        let own = self.engine.run_inside(&["hostname", "-I"]);
        let mut addresses: Vec<_> = own.split_whitespace().map(str::to_owned).collect();
        assert!(addresses.contains(&WORLD.to_string()), "{addresses:?}");
        let client = self.engine.client();
        for agent in [AGENT, SIBLING] {
            addresses.extend(client.gateways_of(agent));
            addresses.extend(client.sidecar_addresses(agent).into_iter().filter(|address| address != proxy));
        }
        addresses.extend([client.bridge_address().to_string(), "169.254.169.254".to_owned()]);
        // Without a network the other bottle's address is nobody's but its own.
        addresses.extend((self.neighbour != LOOPBACK).then(|| self.neighbour.to_owned()));
        addresses
    }

    /// Returns who has come to the canary.
    fn visitors(&self) -> Vec<IpAddr> {
        self.engine.inside(|| self.canary.visitors())
    }

    /// Fails unless a shell in the bottle reaches what it may through its sidecar, and nothing past it.
    fn assert_wall(&self, inside: &mut Session) {
        let url = format!("http://stream.test:{}/", self.canary.tcp());
        let said = inside.ok(&format!("curl -sN -m 10 {url} | head -n 1"));
        assert_eq!(said, TICK.trim(), "the sidecar does not serve");
        assert_eq!(inside.ok("curl -s -o /tmp/body -w '%{http_code}' http://refused.test/"), "403");
        assert_eq!(self.visitors().len(), 1, "the control: the sidecar reaches the canary");

        let proxy = proxy_address(inside);
        let addresses = self.addresses(&proxy);
        let mut targets: Vec<_> = addresses.iter().flat_map(|ip| targets_at(ip, self.canary)).collect();
        targets.push(format!("tcp {} 7777", self.neighbour));
        assert_eq!(answered(inside, &targets), Vec::<String>::new());
        assert_no_other_way(inside, SIBLING, &proxy);
        let bridge = self.engine.client().bridge_address().to_string();
        assert_no_way_through_the_proxy(inside, &[bridge, self.neighbour.to_owned(), proxy]);
        assert_eq!(self.visitors(), Vec::<IpAddr>::new(), "somebody came past the sidecar");
    }
}

#[test]
fn a_bottle_outlives_its_engine_and_the_wall_around_it_stands() {
    outlive("");
}

#[test]
fn a_bottle_on_a_network_outlives_its_engine_and_the_wall_around_it_stands() {
    outlive(OVER_A_NETWORK);
}

fn outlive(options: &str) {
    let mut engine = engine(&Options { live_restore: true, ..Options::default() });
    let canary = engine.inside(Canary::open);
    let port = canary.tcp();
    let egress = format!(
        "      allowlist: ['stream.test:{port}']\n      hosts: {{ stream.test: {WORLD} }}\n\
         \x20     private: [{{ host: stream.test, range: {WORLD}/32 }}]\n{options}"
    );
    let home = home(&engine, &[AGENT, SIBLING], &egress);
    let (mut first, mut second) = (Session::start(&home, AGENT), Session::start(&home, SIBLING));
    let neighbour = second.ok(SERVE);
    first.ok("true");

    // They would notice that the engine is gone and say so; here the bottles themselves are looked at.
    first.signal(Signal::STOP);
    second.signal(Signal::STOP);
    for signal in [Signal::TERM, Signal::KILL] {
        engine.stop(signal);
        engine.start_again();
        let around = Around { engine: &engine, canary: &canary, neighbour: &neighbour };
        let mut sibling = Session::beside(&home, SIBLING);
        assert_eq!(answered(&mut sibling, &[format!("tcp {neighbour} 7777")]).len(), 1, "the control");
        sibling.end();
        let mut inside = Session::beside(&home, AGENT);
        around.assert_wall(&mut inside);
        inside.end();
    }

    assert_code(&run(&mut home.command(&["stop", SIBLING])), 0);
    assert_eq!(engine.client().resources_of(SIBLING), Vec::<String>::new());
    let (restarted, stopped) =
        ("the engine no longer knows of `bash`", "run `bash`: the bottle was closed, or has ended");
    for (session, agent, why) in [(first, AGENT, restarted), (second, SIBLING, stopped)] {
        session.signal(Signal::CONT);
        assert_eq!(session.ended(), Some(125));
        let said = std::fs::read_to_string(home.path().join(format!("{agent}.stderr"))).unwrap();
        assert!(said.contains(why), "{said}");
        assert_eq!(engine.client().resources_of(agent), Vec::<String>::new());
    }
    assert_eq!(engine.docker(&["volume", "ls", "--quiet"]), "");
    assert_eq!(home.left_in_tmp(), Vec::<String>::new());
}
