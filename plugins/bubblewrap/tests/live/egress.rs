//! The way out: what the policy allows passes, all else is refused with a reason, and the log has both.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use claude_bottle_egress_policy::{GuardConfig, Policy, PrivateGrant, Rule};
use claude_bottle_plugin_api::{EnvVar, SecretSpec, Spec};

use crate::support::{Bench, Services};

/// Serves one answer to every request, and returns its port.
fn server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut buffer = [0; 4096];
            assert!(stream.read(&mut buffer).unwrap() > 0);
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
                .unwrap();
        }
    });
    port
}

/// Lets a name through that stands for this machine.
pub(crate) fn allow(spec: &mut Spec, port: u16) {
    let mut policy = Policy::default();
    policy.rules.push(Rule::parse(&format!("allowed.example:{port}"), "test").unwrap());
    policy.hosts.insert("allowed.example".parse().unwrap(), vec!["127.0.0.1".parse().unwrap()]);
    let range = "127.0.0.0/8".parse().unwrap();
    policy.private.push(PrivateGrant { host: "allowed.example".parse().unwrap(), range });
    let config = GuardConfig::new(&spec.id, "127.0.0.1:1".parse().unwrap(), policy);
    spec.bottle.egress.config = config.to_yaml().unwrap();
}

#[test]
fn an_allowed_host_answers_and_another_is_refused() {
    let bench = Bench::new();
    let mut spec = bench.spec("egress");
    let port = server();
    allow(&mut spec, port);
    let live = bench.launch(&spec);
    let said = live.sh(&format!("curl -sS http://allowed.example:{port}/"));
    assert_eq!(said.out, "hello", "{said:?}");
    let said = live.sh("curl -sS -w ' %{http_code}' http://refused.example/");
    assert!(said.out.ends_with(" 403") && said.out.contains("not_in_allowlist"), "{said:?}");
    let said = live.sh("curl -sS --noproxy '*' http://refused.example/");
    assert_ne!(said.code, 0);
    live.close();
    let log = std::fs::read_to_string(spec.state_dir.join("egress.jsonl")).unwrap();
    assert!(log.contains("allowed.example") && log.contains("refused.example"), "{log}");
}

#[test]
fn a_secret_goes_to_the_hosts_that_the_spec_names_for_it_and_no_other() {
    let secrets = ["MEANT", "OTHER"].map(|name| (name.to_owned(), format!("canary-{name}-51f0b7a2c9")));
    let bench = Bench::with(Services { secrets: secrets.into(), ..Services::default() }, &[]);
    let mut spec = bench.spec("meant");
    let port = server();
    allow(&mut spec, port);
    spec.bottle.env = vec![EnvVar::secret("MEANT"), EnvVar::secret("OTHER")];
    // An older host program says nothing about the other one.
    spec.bottle.secrets = vec![SecretSpec::new("MEANT", vec!["allowed.example".to_owned()])];
    let live = bench.launch(&spec);
    let ask = |secret: &str| {
        let script =
            format!("curl -sS -H \"Authorization: Bearer ${secret}\" http://allowed.example:{port}/");
        live.sh(&script).out
    };
    assert_eq!(ask("MEANT"), "hello");
    assert!(ask("OTHER").contains("dlp_secret"), "{}", ask("OTHER"));
    live.close();
}

#[test]
fn without_a_policy_nothing_leaves() {
    let bench = Bench::new();
    let live = bench.launch(&bench.spec("nothing"));
    let said = live.sh("curl -s -o /dev/null -w '%{http_code}' http://api.anthropic.com/");
    assert_eq!(said.out, "403", "{said:?}");
}

#[test]
fn many_connections_at_once_pass_the_relay() {
    let bench = Bench::new();
    let mut spec = bench.spec("many");
    let port = server();
    allow(&mut spec, port);
    let live = bench.launch(&spec);
    let said = live.sh(&format!(
        "for i in $(seq 40); do curl -sS http://allowed.example:{port}/ >> /tmp/out-$i & done; wait; cat /tmp/out-* | wc -c"
    ));
    assert_eq!(said.out.trim(), "200", "{said:?}");
}

#[test]
fn when_the_guard_is_gone_there_is_no_way_around() {
    let bench = Bench::new();
    let mut spec = bench.spec("gone");
    let port = server();
    allow(&mut spec, port);
    let live = bench.launch(&spec);
    let guard = live.pids()[0];
    let pid = rustix::process::Pid::from_raw(i32::try_from(guard).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let said = live.sh(&format!("sleep 0.2; curl -sS http://allowed.example:{port}/"));
    assert_ne!(said.code, 0, "{said:?}");
    live.close();
}
