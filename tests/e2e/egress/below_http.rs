//! Nothing leaves a bottle but through its own sidecar, whatever the protocol, and nothing at all without it.
//!
//! The engine itself is not restarted here: it belongs to the whole machine. `tests/e2e/engine` does that to one of its own.

use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use super::canary::{Canary, TICK};
use super::fixture::{Fixture, IMAGE};
use super::own_sidecar::assert_only_a_proxy;
use super::session::Session;
use super::{assert_refused, decisions, home};
use crate::support::home::SIDECAR;
use crate::support::{engine, run, stdout};

const PROBE: &str = include_str!("probe.pl");
const RAW: &str = include_str!("raw.pl");
pub(super) const SNIFF: &str = include_str!("sniff.pl");

/// The lines that link agents to their sidecars by a network, behind a bottle's `egress`.
pub(crate) const OVER_A_NETWORK: &str = "    options: { docker: { link: network } }\n";

/// Where a bottle linked by a socket finds its proxy, and everything else it can reach.
pub(crate) const LOOPBACK: &str = "127.0.0.1";

/// Lets a bottle serve something at port 7777, and says at which address.
pub(crate) const SERVE: &str = "socat TCP-LISTEN:7777,fork,reuseaddr 'EXEC:echo hello' & \
    until (exec 3<>/dev/tcp/127.0.0.1/7777) 2>/dev/null; do sleep 0.05; done; hostname -i";

/// Where a proxy listens.
const PROXY_PORT: u16 = 8888;

/// An address of the range for documentation, which stands for the rest of the world: <https://www.rfc-editor.org/rfc/rfc5737>.
const WORLD: &str = "198.51.100.7";

/// Tries the targets from a session, and returns those that gave any answer.
pub(crate) fn answered(session: &mut Session, targets: &[String]) -> Vec<String> {
    let quoted: Vec<_> = targets.iter().map(|target| format!("'{target}'")).collect();
    let said = session.ok(&format!("perl - {} <<'END-OF-PROBE'\n{PROBE}\nEND-OF-PROBE", quoted.join(" ")));
    assert_eq!(said.lines().count(), targets.len(), "{said}");
    said.lines().filter(|line| line.ends_with(": answered")).map(str::to_owned).collect()
}

/// Returns all that can be tried at an address: the canary, and what services are usually found at.
pub(crate) fn targets_at(address: &str, canary: &Canary) -> Vec<String> {
    let mut targets = vec![format!("icmp {address} 0"), format!("udp {address} {}", canary.udp())];
    targets.extend([53, 443].map(|port| format!("udp {address} {port}")));
    let ports = [canary.tcp(), PROXY_PORT, 22, 53, 80, 443, 853, 2375];
    targets.extend(ports.map(|port| format!("tcp {address} {port}")));
    targets
}

/// Returns every address of this machine, link-local ones with the name of a bottle's interface.
fn host_addresses() -> Vec<String> {
    let listed = run(Command::new("hostname").arg("-I"));
    let mut addresses: Vec<_> = stdout(&listed).split_whitespace().map(str::to_owned).collect();
    addresses.push(engine::bridge_address().to_string());
    let interfaces = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let local = interfaces
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(|digits| std::net::Ipv6Addr::from_bits(u128::from_str_radix(digits, 16).unwrap()));
    addresses.extend(local.filter(|ip| ip.is_unicast_link_local()).map(|ip| format!("{ip}%eth0")));
    assert!(addresses.len() >= 2, "{addresses:?}");
    addresses
}

/// Returns the address at which a bottle's programs find their proxy: [`LOOPBACK`] when agent and sidecar are linked by a
/// socket, the sidecar's own when they are by a network.
pub(crate) fn proxy_address(session: &mut Session) -> String {
    session.ok("address=${HTTP_PROXY#http://}; echo ${address%:*}")
}

#[test]
fn nothing_goes_out_below_http_and_siblings_are_apart() {
    // gVisor always needs a network.
    try_all(["e2e-wall", "e2e-wall-sibling"], "", !engine::has_gvisor());
}

#[test]
fn nothing_goes_out_below_http_with_a_sidecar_and_siblings_are_apart() {
    try_all(["e2e-side-wall", "e2e-side-wall-sibling"], SIDECAR, !engine::has_gvisor());
}

#[test]
fn nothing_goes_out_below_http_over_a_network_and_siblings_are_apart() {
    try_all(["e2e-net-wall", "e2e-net-wall-sibling"], OVER_A_NETWORK, false);
}

/// Tries everything there is to try from a bottle. `alone` says that it is to have no network at all.
fn try_all([agent, sibling]: [&str; 2], options: &str, alone: bool) {
    let home = home(&[agent, sibling], &format!("      allowlist: []\n{options}"));
    let canary = Canary::open();
    // Both at once; the second shell is asked first, so that neither waits for the other.
    let (mut inside, mut beside) = (Session::start(&home, agent), Session::start(&home, sibling));
    let neighbour = beside.ok(SERVE);
    let here = inside.ok("hostname -i");
    let proxy = proxy_address(&mut inside);
    if alone {
        assert_eq!([&here, &neighbour, &proxy], [LOOPBACK; 3]);
        assert_eq!(inside.ok("ls /sys/class/net"), "lo");
    } else {
        assert!(here != neighbour && proxy != here && proxy != LOOPBACK, "{here}, {neighbour}, {proxy}");
    }

    // The controls: what answers, and that this way of asking finds it.
    let bridge = engine::bridge_address();
    let ports = (canary.tcp(), canary.udp());
    let targets = [
        format!("icmp {bridge} 0"),
        format!("tcp {bridge} {}", ports.0),
        format!("udp {bridge} {}", ports.1),
    ];
    // From its own network the host answers datagrams from the address that was asked.
    let mut words =
        vec!["run", "--rm", "--network", claude_bottle_standin::TEST_NETWORK, IMAGE, "perl", "-e", PROBE];
    words.extend(targets.iter().map(String::as_str));
    assert_eq!(engine::docker(&words).matches(": answered").count(), 3);
    assert_eq!(canary.visitors().len(), 2, "a container of the tests' network reaches the host");
    let served = [format!("tcp {neighbour} 7777"), format!("icmp {neighbour} 0")];
    assert_eq!(answered(&mut beside, &served).len(), 2);
    let served = [format!("tcp {proxy} {PROXY_PORT}"), format!("icmp {proxy} 0")];
    assert_eq!(answered(&mut inside, &served).len(), 2);

    let mut addresses = host_addresses();
    // Where a guard is a process of this machine there is nothing of it in the engine.
    let has_sidecars = home.guards().is_empty();
    assert!(has_sidecars || options.is_empty() && home.guards().len() == 2, "{:?}", home.guards());
    for agent in [agent, sibling].into_iter().filter(|_| has_sidecars) {
        addresses.extend(engine::gateways_of(agent));
        addresses.extend(engine::sidecar_addresses(agent));
    }
    if !has_sidecars {
        assert_only_the_socket_is_shared(&mut inside);
    }
    addresses.extend([WORLD, "169.254.169.254", "2001:db8::7"].map(str::to_owned));
    addresses.extend((!alone).then(|| neighbour.clone()));
    // A network without a gateway, as newer engines make it, has its first address free for a container.
    addresses.retain(|address| *address != here && *address != proxy);
    let mut targets: Vec<_> = addresses.iter().flat_map(|address| targets_at(address, &canary)).collect();
    targets.push(format!("tcp {neighbour} 7777"));
    assert_eq!(answered(&mut inside, &targets), Vec::<String>::new());
    assert_eq!(canary.visitors(), Vec::<std::net::IpAddr>::new());

    assert_only_a_proxy(&mut inside, &proxy, (&mut beside, &neighbour), WORLD);
    assert_no_other_way(&mut inside, sibling, &proxy);
    try_raw_packets(&mut inside, &proxy, &bridge.to_string(), canary.udp());
    assert_no_way_through_the_proxy(
        &mut inside,
        &[bridge.to_string(), neighbour, proxy, LOOPBACK.to_owned()],
    );
    assert_eq!(canary.visitors(), Vec::<std::net::IpAddr>::new());
    inside.end();
    beside.end();
}

/// Fails when a bottle can do anything with what it shares with a guard of this machine but connect to its socket and read whom to trust.
fn assert_only_the_socket_is_shared(inside: &mut Session) {
    let shared = "/run/claude-bottle-link";
    assert_eq!(
        inside.ok(&format!("cd {shared} && find . ! -type d | sort")),
        "./bin/bottle\n./bottle-guest\n./guard/bundle.jks\n./guard/bundle.pem\n./guard/ca.pem\n./guard/guard.sock"
    );
    // Neither the socket by which a guard takes another policy, nor the guard of another bottle.
    assert_eq!(
        inside.ok("find / -xdev -type s 2>/dev/null; find /run -type s"),
        format!("{shared}/guard/guard.sock")
    );
    inside.all_fail(&[
        format!("touch {shared}/guard/file"),
        format!("rm -f {shared}/guard/guard.sock"),
        format!("rm -f {shared}/guard/bundle.pem"),
        format!("echo x >> {shared}/guard/ca.pem"),
        format!("chmod 777 {shared}/guard"),
        format!("echo x >> {shared}/bottle-guest"),
        format!("echo x >> {shared}/bin/bottle"),
        format!("rm -f {shared}/bin/bottle"),
    ]);
}

/// Fails when the bottle has a neighbour, a name, a socket or a right that could lead out.
pub(crate) fn assert_no_other_way(inside: &mut Session, sibling: &str, proxy: &str) {
    let sibling = format!("claude-bottle-{sibling}");
    let names = ["host.docker.internal", "gateway.docker.internal", &sibling];
    inside.all_fail(&names.map(|name| format!("timeout 5 getent hosts {name}")));
    // A default route may be there, but it leads to an address that nobody has: the sidecar alone answers to ARP.
    let resolved =
        "tail -n +2 /proc/net/arp | while read -r ip _ flags _; do [ $flags = 0x0 ] || echo $ip; done";
    // gVisor has a network stack of its own, which does not show its neighbours.
    let has_neighbour = proxy != LOOPBACK && !engine::has_gvisor();
    assert_eq!(inside.ok(resolved), if has_neighbour { proxy } else { "" });
    assert_eq!(inside.ok("cat /proc/net/ipv6_route 2>/dev/null | grep -v ' lo$' || true"), "");
    let sockets =
        "for path in /run/docker* /var/run/docker* /run/containerd*; do [ ! -e $path ] || echo $path; done";
    assert_eq!(inside.ok(sockets), "");
    // Packet sockets and raw ones.
    for kind in ["17, 3, 768", "2, 3, 1", "2, 3, 255", "10, 3, 58"] {
        let said = inside.fails(&format!("perl -e 'socket(S, {kind}) or die $!'"));
        assert!(said.contains("not permitted") || said.contains("not supported"), "{kind}: {said}");
    }
}

/// Tries to make a router of the sidecar, with the powers of a user namespace. gVisor lets everybody make one, whose powers are
/// over gVisor's network stack; whoever listens at the target must see nothing of it.
fn try_raw_packets(inside: &mut Session, sidecar: &str, target: &str, port: u16) {
    let script = format!(
        "unshare --user --map-root-user perl - {sidecar} {target} {port} <<'END-OF-RAW'\n{RAW}\nEND-OF-RAW"
    );
    let said = inside.run(&script).text;
    let expected =
        if engine::has_gvisor() { "frame: send: Operation not supported" } else { "Operation not permitted" };
    assert!(said.contains(expected), "{said}");
}

/// Fails when the sidecar takes a request for one of these addresses: the engine's API, a sibling, the sidecar itself.
pub(crate) fn assert_no_way_through_the_proxy(inside: &mut Session, addresses: &[String]) {
    for address in addresses {
        for port in [2375, 7777, PROXY_PORT] {
            let curl = "curl -s -m 5 -o /tmp/body -w '%{http_code}' --noproxy '' -x \"$HTTP_PROXY\"";
            assert_eq!(
                inside.ok(&format!("{curl} http://{address}:{port}/_ping")),
                "403",
                "{address}:{port}"
            );
        }
    }
}

#[test]
fn a_refused_name_is_never_looked_up() {
    let agent = "e2e-names";
    // Told apart from all other traffic of this machine.
    let label = format!("canary-{}", std::process::id());
    let allowed = format!("allowed-{label}.test");
    let home = home(&[agent], &format!("      allowlist: ['{allowed}']\n"));
    let mut inside = Session::start(&home, agent);
    inside.ok("true");
    let canary = Fixture::on_the_host(&["perl", "-e", SNIFF, &label]);
    assert_eq!(canary.line(), "ready");

    let name = |what: &str| format!("{what}-{label}.test");
    for host in [name("http"), format!("data-{label}.{allowed}"), format!("{allowed}.{label}.example")] {
        assert_eq!(inside.ok(&format!("curl -s -o /tmp/body -w '%{{http_code}}' http://{host}/")), "403");
        inside.fails(&format!("curl -sS https://{host}/"));
    }
    inside.all_fail(&[
        format!("timeout 5 getent ahosts {}", name("system")),
        format!("curl -sS -m 5 --noproxy '*' http://{}/", name("direct")),
    ]);
    let servers = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let servers = servers.lines().filter_map(|line| line.strip_prefix("nameserver ").map(str::trim));
    let targets: Vec<_> = servers
        .chain(["127.0.0.11", WORLD])
        .flat_map(|server| ["dns-udp", "dns-tcp"].map(|way| format!("{way} {server} 53 {}", name(way))))
        .collect();
    assert_eq!(answered(&mut inside, &targets), Vec::<String>::new());

    // The control comes last: the allowed name, which the sidecar asks for, and nothing else before it.
    let status = inside.run(&format!("curl -s -o /tmp/body -w '%{{http_code}}' http://{allowed}/")).text;
    assert_ne!(status, "403");
    assert_eq!(canary.line(), format!("allowed-{label}"));
    inside.end();
    let log = decisions(&home);
    assert_refused(&log, &name("http"));
    assert_refused(&log, &format!("data-{label}.{allowed}"));
}

#[test]
fn a_sidecar_that_restarts_or_dies_opens_no_way_past_it() {
    let agent = "e2e-sidecar";
    let sidecar = format!("claude-bottle-guard-{agent}");
    let (canary, bridge) = (Canary::open(), engine::bridge_address());
    let port = canary.tcp();
    let home = home(
        &[agent],
        &format!(
            "      allowlist: ['stream.test:{port}']\n      hosts: {{ stream.test: {bridge} }}\n\
             \x20     private: [{{ host: stream.test, range: {bridge}/32 }}]\n{SIDECAR}"
        ),
    );
    let url = format!("http://stream.test:{port}/");
    let first = format!("curl -sN -m 10 --retry 20 --retry-connrefused --retry-delay 1 {url} | head -n 8");
    let mut direct = targets_at(&bridge.to_string(), &canary);
    direct.extend(targets_at(WORLD, &canary));

    let mut inside = Session::start_by(home.command(&["start", agent, "--yes"]), &home, agent);
    let said = inside.ok(&first);
    assert!(said.starts_with(TICK), "{said}");
    assert!(!canary.visitors().is_empty(), "the control: the sidecar reaches the canary");
    assert_eq!(inside.ok("curl -s -o /tmp/body -w '%{http_code}' http://refused.test/"), "403");
    assert_eq!(answered(&mut inside, &direct), Vec::<String>::new());
    assert_eq!(canary.visitors(), Vec::<std::net::IpAddr>::new());

    // Killed while a stream runs through it.
    inside.ok(&format!(
        "curl -sN {url} > /tmp/stream & echo $! > /tmp/pid; until grep -q tick /tmp/stream; do sleep 0.05; done"
    ));
    canary.visitors();
    engine::docker(&["kill", &sidecar]);
    inside.ok("timeout 10 tail --pid=$(cat /tmp/pid) -f /dev/null");
    for sidecar_is in ["dead", "started again, without the policy and the secrets it is given once"] {
        inside.all_fail(&[
            format!("curl -sS -m 5 {url}"),
            format!("curl -sS -m 5 --noproxy '*' {url}"),
            format!("curl -sS -m 5 --noproxy '*' http://{bridge}:{port}/"),
            format!("timeout 5 node -e 'fetch(\"{url}\").then(() => 0, () => process.exit(1))'"),
        ]);
        assert_eq!(answered(&mut inside, &direct), Vec::<String>::new());
        assert_eq!(canary.visitors(), Vec::<std::net::IpAddr>::new(), "past a sidecar that is {sidecar_is}");
        engine::docker(&["start", &sidecar]);
    }
    engine::docker(&["kill", &sidecar]);
    inside.end();
    let told = std::fs::read_to_string(home.path().join(format!("{agent}.stderr"))).unwrap();
    assert!(told.contains("the proxy ended before the agent did"), "{told}");
    assert_eq!(engine::resources_of(agent), Vec::<String>::new());
    assert_refused(&decisions(&home), "refused.test");
}

#[test]
fn a_guard_of_this_machine_that_dies_opens_no_way_past_it() {
    let agent = "e2e-host-guard";
    let (canary, bridge) = (Canary::open(), engine::bridge_address());
    let port = canary.tcp();
    let home = home(
        &[agent],
        &format!(
            "      allowlist: ['stream.test:{port}']\n      hosts: {{ stream.test: {bridge} }}\n\
             \x20     private: [{{ host: stream.test, range: {bridge}/32 }}]\n\
             \x20   options: {{ docker: {{ guard: host }} }}\n"
        ),
    );
    let url = format!("http://stream.test:{port}/");
    let mut direct = targets_at(&bridge.to_string(), &canary);
    direct.extend(targets_at(WORLD, &canary));
    let mut inside = Session::start_by(home.command(&["start", agent, "--yes"]), &home, agent);
    assert!(inside.ok(&format!("curl -sN -m 10 {url} | head -n 8")).starts_with(TICK));
    assert!(!canary.visitors().is_empty(), "the control: the guard reaches the canary");
    assert_eq!(inside.ok("curl -s -o /tmp/body -w '%{http_code}' http://refused.test/"), "403");

    // Killed while a stream runs through it.
    inside.ok(&format!(
        "curl -sN {url} > /tmp/stream & echo $! > /tmp/pid; until grep -q tick /tmp/stream; do sleep 0.05; done"
    ));
    canary.visitors();
    let record = std::fs::read(format!("{}/record.json", home.guards()[0])).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    let pid = i32::try_from(record["process"]["pid"].as_i64().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    inside.ok("timeout 10 tail --pid=$(cat /tmp/pid) -f /dev/null");
    inside.all_fail(&[
        format!("curl -sS -m 5 {url}"),
        format!("curl -sS -m 5 --noproxy '*' {url}"),
        format!("curl -sS -m 5 --noproxy '*' http://{bridge}:{port}/"),
    ]);
    assert_eq!(answered(&mut inside, &direct), Vec::<String>::new());
    assert_eq!(canary.visitors(), Vec::<std::net::IpAddr>::new(), "past a guard that is dead");
    inside.end();
    let told = std::fs::read_to_string(home.path().join(format!("{agent}.stderr"))).unwrap();
    assert!(told.contains("the proxy ended before the agent did"), "{told}");
    assert_eq!([engine::resources_of(agent), home.guards()].concat(), Vec::<String>::new());
    assert_refused(&decisions(&home), "refused.test");
}
