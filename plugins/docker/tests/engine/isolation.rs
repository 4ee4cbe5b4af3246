//! What is out of reach from inside, each with a control that shows the test could fail.

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

use claude_bottle_plugin_api::*;
use claude_bottle_standin::TEST_NETWORK;

use crate::support::{Run, backend, bridge_address, docker, with_sidecar};

/// Accepts connections on all addresses of the host and greets them.
fn greeter() -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            stream.write_all(b"greetings").ok();
        }
    });
    port
}

/// The option that links agent and sidecar by a network.
fn over_a_network() -> serde_json::Value {
    serde_json::json!({ "link": "network" })
}

fn dial(address: &str, port: u16) -> String {
    format!("timeout 4 bash -c 'exec 3<>/dev/tcp/{address}/{port} && head -c 9 <&3' 2>&1")
}

#[test]
fn the_host_and_the_world_are_out_of_reach() {
    try_the_host_and_the_world(&Run::new("walled", &[]));
}

#[test]
fn over_a_network_the_host_and_the_world_are_out_of_reach() {
    let mut run = Run::new("walled-net", &[]);
    run.spec.options = over_a_network();
    try_the_host_and_the_world(&run);
}

fn try_the_host_and_the_world(run: &Run) {
    let backend = backend(&[]);
    let live = run.start(&backend);
    let port = greeter();
    let bridge = bridge_address().to_string();
    let control = ["run", "--rm", "--network", TEST_NETWORK, "claude-bottle:latest", "sh", "-c"];
    let control = docker(&control.into_iter().chain([dial(&bridge, port).as_str()]).collect::<Vec<_>>());
    assert_eq!(control, "greetings");

    let own = live.sh(&backend, run, "hostname -i", b"").stdout;
    let gateway = format!("{}.1", own.trim().rsplit_once('.').unwrap().0);
    let host = String::from_utf8(std::process::Command::new("hostname").arg("-I").output().unwrap().stdout);
    let host = host.unwrap();
    // The egress network's bridge belongs to the host, and so do all of its other addresses.
    let mut targets: Vec<_> = host.split_whitespace().filter(|address| !address.contains(':')).collect();
    targets.extend([gateway.as_str(), bridge.as_str(), "1.1.1.1", "169.254.169.254"]);
    for address in targets {
        let said = live.sh(&backend, run, &dial(address, port), b"");
        assert_ne!(said.code, 0, "{address} was reached");
        assert!(!said.stdout.contains("greetings"), "{address} was reached");
    }
    // Without IPv6 the bridge's link-local address, which the host always has, is out of reach as well.
    assert_eq!(live.sh(&backend, run, "cat /proc/net/if_inet6 2>/dev/null | grep -v ' lo$'", b"").stdout, "");
    backend.close(&run.call(), &live.bottle).unwrap();
}

#[test]
fn no_name_is_looked_up_outside() {
    let canary = UdpSocket::bind("127.0.0.1:53")
        .expect("the canary stands for a name server of this machine: it needs port 53 of 127.0.0.1, which another program has");
    canary.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let (mut buffer, asker) = ([0; 512], UdpSocket::bind("127.0.0.1:0").unwrap());
    asker.send_to(b"control", "127.0.0.1:53").unwrap();
    assert_eq!(canary.recv(&mut buffer).unwrap(), 7);

    let backend = backend(&[]);
    let run = Run::new("nameless", &[]);
    let live = run.start(&backend);
    // By the system's resolver, and straight to the engine's; by UDP and by TCP.
    let script = r#"
        timeout 8 getent hosts leak.example.com && exit 1
        node -e '
            const { Resolver } = require("dns");
            const r = new Resolver({ timeout: 1500, tries: 1 }); r.setServers(["127.0.0.11"]);
            r.resolve4("leak.example.org", (e) => process.exit(e ? 0 : 1));' || exit 2
        timeout 3 bash -c 'exec 3<>/dev/tcp/127.0.0.11/53' 2>/dev/null
        getent hosts localhost"#;
    let said = live.sh(&backend, &run, script, b"");
    assert_eq!(said.code, 0, "{said:?}");
    assert!(
        canary.recv(&mut buffer).is_err(),
        "a name was asked for: {:?}",
        String::from_utf8_lossy(&buffer)
    );
    backend.close(&run.call(), &live.bottle).unwrap();
}

#[test]
fn the_agent_has_no_power_and_the_proxy_one_client() {
    let backend = backend(&[]);
    let mut run = Run::new("meek", &[]);
    run.spec.options = with_sidecar();
    let live = run.start(&backend);
    let status = live.sh(&backend, &run, "cat /proc/self/status", b"").stdout;
    let gvisor = docker(&["info", "--format", "{{json .Runtimes}}"]).contains("\"runsc\"");
    let mut lines = vec!["CapBnd:\t0000000000000000", "CapEff:\t0000000000000000"];
    // gVisor's own kernel stands for both, and does not show them.
    if !gvisor {
        lines.extend(["NoNewPrivs:\t1", "Seccomp:\t2"]);
    }
    for line in lines {
        assert!(status.contains(line), "{line} is not in {status}");
    }
    // It lets everybody make a user namespace, with powers over itself alone.
    let namespace = if gvisor { "--net" } else { "--user" };
    let script = format!("mount -t tmpfs x /mnt || unshare {namespace} true || echo refused");
    assert_eq!(live.sh(&backend, &run, &script, b"").stdout, "refused\n");

    let sidecar = format!("claude-bottle-guard-{}", run.spec.agent.name);
    let format =
        "{{.HostConfig.ReadonlyRootfs}} {{.Config.User}} {{.HostConfig.CapDrop}} {{.HostConfig.Sysctls}}";
    let inspected = docker(&["inspect", "--format", format, &sidecar]);
    assert_eq!(inspected, "true 65532:65532 [ALL] map[net.ipv4.ip_forward:0]\n");
    let security = |name: &str| docker(&["inspect", "--format", "{{json .HostConfig.SecurityOpt}}", name]);
    assert!(security(&sidecar).starts_with(r#"["no-new-privileges","seccomp={"#), "{}", security(&sidecar));
    assert_eq!(
        security(&sidecar),
        security(&live.bottle.name),
        "the sidecar's calls are filtered like the agent's"
    );
    assert_serves_nobody_else(&run, &sidecar, gvisor);
    backend.close(&run.call(), &live.bottle).unwrap();

    let mut run = Run::new("meek-net", &[]);
    run.spec.options = over_a_network();
    let live = run.start(&backend);
    assert_serves_nobody_else(&run, &format!("claude-bottle-guard-{}", run.spec.agent.name), true);
    backend.close(&run.call(), &live.bottle).unwrap();
}

/// Fails when a sidecar serves a client who comes to it from the host, by its way out.
fn assert_serves_nobody_else(run: &Run, sidecar: &str, listens: bool) {
    let egress = format!("claude-bottle-egress-{}", run.spec.id);
    let format = format!("{{{{(index .NetworkSettings.Networks \"{egress}\").IPAddress}}}}");
    let address = docker(&["inspect", "--format", &format, sidecar]);
    let stream = std::net::TcpStream::connect((address.trim(), 8888));
    if !listens {
        assert_eq!(stream.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
        return;
    }
    let mut stream = stream.unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(b"GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n").ok();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok();
    assert!(!answer.starts_with("HTTP/1.1 2") && !answer.contains("not_allowed"), "served: {answer}");
}

#[test]
fn a_limit_that_ends_the_agent_is_named() {
    let backend = backend(&[]);
    let mut run = Run::new("greedy", &[]);
    run.spec.bottle.limits.memory_bytes = Some(128 << 20);
    run.spec.bottle.limits.pids = Some(64);
    let live = run.start(&backend);
    let said = live.sh(&backend, &run, "exec tail /dev/zero", b"");
    assert_eq!(said.code, 137);
    assert_eq!(said.limit.as_deref(), Some("memory limit of 128 MiB; raise `bottles.box.limits.memory`"));
    let said = live.sh(&backend, &run, "kill -KILL $$", b"");
    assert_eq!((said.code, said.limit), (137, None));
    let bomb = "for i in $(seq 200); do sleep 5 & done; echo survived";
    let said = live.sh(&backend, &run, bomb, b"");
    assert!(
        said.code != 0 && said.limit.is_some_and(|limit| limit.contains("limits.pids")),
        "{}",
        said.stderr
    );
    backend.close(&run.call(), &live.bottle).unwrap();
    assert_eq!(run.leftovers(), Vec::<String>::new());
}

#[test]
fn shared_memory_is_as_large_as_the_bottle_says() {
    let backend = backend(&[]);
    for (asked, mib) in [(None, 256), (Some(64 << 20), 64), (Some(300 << 20), 300)] {
        let mut run = Run::new("shared", &[]);
        run.spec.bottle.limits.shm_bytes = asked;
        let live = run.start(&backend);
        let script = "dd if=/dev/zero of=/dev/shm/x bs=1M count=400 2>/dev/null; stat -c %s /dev/shm/x";
        assert_eq!(live.sh(&backend, &run, script, b"").stdout, format!("{}\n", mib << 20), "{asked:?}");
        backend.close(&run.call(), &live.bottle).unwrap();
    }
}
