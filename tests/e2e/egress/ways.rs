//! Ways out besides the proxy itself: a forwarded port for a client that knows no proxy, and a proxy above the guard.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::session::Session;
use super::{decisions, home};
use crate::support::backend::{Backend, on_each_backend};
use crate::support::home::SIDECAR;
use crate::support::{assert_code, run, stderr, stdout};

on_each_backend!(
    a_forwarded_port_leads_to_its_host_for_a_client_that_knows_no_proxy,
    what_the_guard_allows_goes_through_the_proxy_above_it,
    a_proxy_of_the_hosts_variables_is_told_before_the_question,
);

/// Answers each connection with a greeting and then with what comes.
fn database(ip: IpAddr) -> SocketAddr {
    let listener = TcpListener::bind((ip, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map(Result::unwrap) {
            std::thread::spawn(move || {
                stream.write_all(b"ready for queries\n").ok();
                let mut line = [0; 64];
                while let Ok(count @ 1..) = stream.read(&mut line) {
                    stream.write_all(&line[..count]).ok();
                }
            });
        }
    });
    address
}

fn a_forwarded_port_leads_to_its_host_for_a_client_that_knows_no_proxy(backend: Backend) {
    let agent = &format!("e2e-forward-{}", backend.name());
    let server = database(backend.host_address());
    let (ip, port) = (server.ip(), server.port());
    let home = home(
        &[agent],
        &format!(
            "      allowlist: ['db.test:{port}']\n      hosts: {{ db.test: {ip} }}\n      \
             private: [{{ host: db.test, range: {ip}/32 }}]\n    forward: ['5432:db.test:{port}']\n"
        ),
    );
    let mut inside =
        Session::start_by(backend.command(&home, &["-q", "start", agent, "--yes"]), &home, agent);
    let query = "exec 3<>/dev/tcp/127.0.0.1/5432; head -n 1 <&3; echo select >&3; head -n 1 <&3";
    assert_eq!(inside.ok(query), "ready for queries\nselect");
    // No other port was opened.
    inside.fails("exec 3<>/dev/tcp/127.0.0.1/5433");
    inside.end();
    let log = decisions(&home);
    let of_server = |line: &&serde_json::Value| line["host"] == "db.test" && line["verdict"] == "allow";
    assert!(log.iter().any(|line| of_server(&line) && line["port"] == port), "{log:?}");
    backend.assert_nothing_left(&home, agent);
}

/// A second guard, as the proxy of a company: it alone knows the name `far.test`.
struct Company {
    child: Child,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Company {
    fn start(ip: IpAddr, far: SocketAddr) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("guard.yaml");
        let (far_ip, port) = (far.ip(), far.port());
        let text = format!(
            "version: 1\nbottle: company\nlisten: {ip}:0\npolicy:\n  rules: [{{rule: 'far.test:{port}'}}]\n  \
             hosts: {{far.test: [{far_ip}]}}\n  private: [{{host: far.test, range: {far_ip}/32}}]\n"
        );
        fs::write(&config, text).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_claude-bottle")).with_file_name("egress-guard");
        let mut command = Command::new(program);
        command.args(["run", "--config"]).arg(&config).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        let address = event["address"].as_str().unwrap().parse().unwrap();
        Self { child, address, _dir: dir }
    }
}

impl Drop for Company {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn what_the_guard_allows_goes_through_the_proxy_above_it(backend: Backend) {
    const PASSWORD: &str = "canary-proxy-password-3c71";
    let agent = &format!("e2e-upstream-{}", backend.name());
    let server = database(backend.host_address());
    let company = Company::start(backend.host_address(), server);
    let port = server.port();
    let home = home(
        &[agent],
        &format!("      allowlist: ['far.test:{port}']\n      upstream_proxy: '${{CORP_PROXY}}'\n"),
    );
    let home = home.env("CORP_PROXY", &format!("http://me:{PASSWORD}@{}", company.address));
    let mut inside =
        Session::start_by(backend.command(&home, &["-q", "start", agent, "--yes"]), &home, agent);
    let tunnel = format!(
        "exec 3<>/dev/tcp/127.0.0.1/8888; printf 'CONNECT far.test:{port} HTTP/1.1\\r\\nHost: far.test:{port}\\r\\n\\r\\n' >&3; \
         head -n 3 <&3 | tr -d '\\r'"
    );
    let opened = inside.ok(&tunnel);
    assert!(opened.starts_with("HTTP/1.1 200") && opened.ends_with("ready for queries"), "{opened}");
    // What the bottle's own policy refuses never gets there, and the agent has no word of the proxy's.
    assert!(inside.run("curl -sS -m 20 http://elsewhere.test/").text.contains("not_in_allowlist"));
    assert_eq!(
        inside.ok("env; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'").matches(PASSWORD).count(),
        0
    );
    if backend == Backend::Docker {
        let ids = stdout(&run(Command::new("docker").args(["ps", "-aq", "--no-trunc"])));
        let inspected = run(Command::new("docker").arg("inspect").args(ids.split_whitespace()));
        assert!(!stdout(&inspected).contains(PASSWORD), "the engine was told the password");
    }
    inside.end();
    let found = run(Command::new("grep").args(["-rlF", PASSWORD]).arg(home.path()));
    assert_eq!(stdout(&found), "", "the password is on the disk");
    backend.assert_nothing_left(&home, agent);
}

fn a_proxy_of_the_hosts_variables_is_told_before_the_question(backend: Backend) {
    let agent = &format!("e2e-proxies-{}", backend.name());
    let start = |egress: &str, variable: &str| {
        let home = home(&[agent], egress).env("https_proxy", variable).env("NO_PROXY", "corp.test");
        run(&mut backend.command(&home, &["start", agent, "--dry-run"]))
    };
    let empty = "      allowlist: []\n";
    let output = start(empty, "http://192.0.2.1:3128");
    assert_code(&output, 0);
    let plan = stderr(&output);
    assert!(plan.contains("upstream proxy") && plan.contains("192.0.2.1:3128; it looks names up"), "{plan}");
    let output = start("      upstream_proxy: none\n", "http://192.0.2.1:3128");
    assert_code(&output, 0);
    assert!(!stderr(&output).contains("192.0.2.1"), "{}", stderr(&output));
    // What cannot be used is not passed over, and its password is not shown.
    let output = start(empty, "socks5://me:hidden-word@192.0.2.1:1080");
    assert_code(&output, 125);
    let said = stderr(&output);
    assert!(said.contains("`https_proxy` is not the address of an HTTP proxy"), "{said}");
    assert!(said.contains("egress.upstream_proxy: none") && !said.contains("hidden-word"), "{said}");
    // The loopback of this machine is out of a container's reach, and not of a process of this machine.
    assert_code(&start(empty, "http://127.0.0.1:3128"), 0);
    if backend == Backend::Docker {
        let output = start(&format!("{empty}{SIDECAR}"), "http://127.0.0.1:3128");
        let said = stderr(&output);
        assert!(output.status.code() == Some(125) && said.contains("127.0.0.1:3128"), "{said}");
    }
}
