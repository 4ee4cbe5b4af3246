//! Clients that know no proxy: with an empty environment they reach what is allowed, and for everything else there is no name.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use super::below_http::{SNIFF, answered};
use super::fixture::Fixture;
use super::session::Session;
use super::{assert_refused, decisions, home};
use crate::support::backend::{Backend, on_each_backend};
use crate::support::sshd::{Sshd, make_key};

on_each_backend!(
    clients_without_any_setting_reach_what_is_allowed_and_nothing_else,
    no_name_is_looked_up_for_clients_without_a_setting,
    ten_thousand_invented_names_leave_memory_bounded,
    an_address_that_stands_for_a_name_leads_to_its_ports_and_nowhere_else,
    without_its_guard_a_client_without_any_setting_reaches_nothing,
);

/// Begins a command that has a search path and nothing else of the environment.
pub(super) const BARE: &str = "env -i PATH=\"$PATH\" HOME=/tmp timeout 60";

/// Fetches by both clients of Java.
const JAVA: &str = r#"import java.net.*; import java.net.http.*;
public class Fetch {
  public static void main(String[] a) throws Exception {
    int other = ((HttpURLConnection) new URL(a[0]).openConnection()).getResponseCode();
    var request = HttpRequest.newBuilder(URI.create(a[0])).version(HttpClient.Version.HTTP_1_1).build();
    int code = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.discarding()).statusCode();
    if (code != 200 || other != 200) throw new Exception(code + " " + other);
  }
}"#;

/// A client, how it fetches a URL that takes the place of `URL`, and whether it is tried over TLS.
struct Client {
    name: &'static str,
    fetch: &'static str,
    over_tls: bool,
}

const fn client(name: &'static str, fetch: &'static str, over_tls: bool) -> Client {
    Client { name, fetch, over_tls }
}

const EVERYWHERE: [Client; 4] = [
    client("curl", "curl -sS -f --cacert /tmp/ca.pem -o /dev/null URL", true),
    client(
        "fetch",
        "env NODE_EXTRA_CA_CERTS=/tmp/ca.pem node -e 'fetch(process.argv[1]).then((r) => process.exit(r.ok ? 0 : 1))' URL",
        true,
    ),
    client(
        "node",
        "env NODE_EXTRA_CA_CERTS=/tmp/ca.pem node -e 'const u = process.argv[1]; require(u.split(\":\")[0]).get(u, \
         (r) => process.exit(r.statusCode == 200 ? 0 : 1))' URL",
        true,
    ),
    client("perl", "perl -MHTTP::Tiny -e 'exit !HTTP::Tiny->new->get(shift)->{success}' URL", false),
];

/// What the machine itself has, which a bottle on bubblewrap runs.
const OF_THE_MACHINE: [Client; 2] = [
    client("wget", "wget -q -O /dev/null --tries 1 --ca-certificate=/tmp/ca.pem URL", true),
    client(
        "urllib",
        "env SSL_CERT_FILE=/tmp/ca.pem /usr/bin/python3 -c 'import sys, urllib.request as r; r.urlopen(sys.argv[1]).read()' URL",
        true,
    ),
];

/// Answers each request with a page.
pub(super) fn pages(ip: IpAddr) -> SocketAddr {
    let listener = TcpListener::bind((ip, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map(Result::unwrap) {
            std::thread::spawn(move || {
                let mut piece = [0; 4096];
                while let Ok(1..) = stream.read(&mut piece) {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\npage\n").ok();
                }
            });
        }
    });
    address
}

fn clients_without_any_setting_reach_what_is_allowed_and_nothing_else(backend: Backend) {
    let agent = &format!("e2e-unaware-{}", backend.name());
    let ip = backend.host_address();
    let page = pages(ip);
    let script = include_str!("git-server.sh");
    let server = Fixture::on_the_host(&["sh", "-c", script, "sh", &ip.to_string(), "git.fixture.test"]);
    let git_port: u16 = server.line().parse().unwrap();
    let mut certificate = server.lines_to("ready");
    certificate.pop();
    let keys = tempfile::tempdir().unwrap();
    make_key(&keys.path().join("id"), "");
    let forge = Sshd::start(ip, &keys.path().join("id.pub"));
    let (plain, secure) = (
        format!("http://page.test:{}/", page.port()),
        format!("https://git.fixture.test:{git_port}/project.git/info/refs?service=git-upload-pack"),
    );
    let home = home(
        &[agent],
        &format!(
            "      allowlist: ['page.test:{}', 'git.fixture.test:{git_port}', 'forge.test:{}', low.test]\n      \
             hosts: {{ page.test: {ip}, git.fixture.test: {ip}, forge.test: {ip} }}\n      \
             private: [{{ host: page.test, range: {ip}/32 }}, {{ host: git.fixture.test, range: {ip}/32 }}, \
             {{ host: forge.test, range: {ip}/32 }}]\n",
            page.port(),
            forge.address().port()
        ),
    );
    let mut inside = start(backend, &home, agent);
    inside.write("/tmp/ca.pem", &certificate.join("\n"));

    let mut clients: Vec<&Client> = EVERYWHERE.iter().collect();
    if backend == Backend::Bubblewrap {
        clients.extend(&OF_THE_MACHINE);
    }
    for Client { name, fetch, over_tls } in clients {
        let at = |url: &str| format!("{BARE} {}", fetch.replace("URL", &format!("'{url}'")));
        inside.ok(&at(&plain));
        if *over_tls {
            inside.ok(&at(&secure));
        }
        refuses(&mut inside, &at(&format!("http://refused-{name}.test/")));
    }
    inside.ok(&format!(
        "{BARE} git -c http.sslCAInfo=/tmp/ca.pem ls-remote https://git.fixture.test:{git_port}/project.git"
    ));
    refuses(&mut inside, &format!("{BARE} git ls-remote https://refused-git.test/project.git"));
    let has_java = backend == Backend::Bubblewrap && Path::new("/usr/bin/javac").exists();
    if has_java {
        java(&mut inside, &plain, &secure);
    }
    refuses(&mut inside, &format!("{BARE} getent ahosts refused-getent.test"));
    // The server is reached, and does not know us.
    let ssh = "ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null";
    let said = inside.fails(&format!("{BARE} {ssh} -p {} git@forge.test true", forge.address().port()));
    assert!(said.contains("Permission denied"), "{said}");

    // The usual ports are caught as well: the guard is asked, and says that this name leads nowhere.
    let said = inside.ok(&format!("{BARE} curl -sS http://low.test/"));
    assert!(said.contains("egress_denied") && said.contains("low.test"), "{said}");
    inside.fails(&format!("{BARE} curl -sS https://low.test/"));
    // No address stands for nothing, and no port is open that no rule names.
    for place in ["127.127.0.1/443", "127.64.0.1/22", "page.test/443"] {
        inside.fails(&format!("{BARE} bash -c 'exec 3<>/dev/tcp/{place}'"));
    }
    inside.end();

    let log = decisions(&home);
    let names = ["curl", "fetch", "node", "perl", "git", "getent"];
    for name in names.iter().chain(if has_java { &["java"][..] } else { &[] }) {
        assert_refused(&log, &format!("refused-{name}.test"));
    }
    for (host, port) in [("page.test", page.port()), ("git.fixture.test", git_port)] {
        let of_it: Vec<_> = log.iter().filter(|line| line["host"] == host).collect();
        assert!(!of_it.is_empty() && of_it.iter().all(|line| line["verdict"] == "allow"), "{of_it:?}");
        assert!(of_it.iter().all(|line| line["port"] == port), "{of_it:?}");
    }
    for port in [80, 443] {
        assert!(log.iter().any(|line| line["host"] == "low.test" && line["port"] == port), "{log:?}");
    }
    let told = std::fs::read_to_string(home.path().join(format!("{agent}.stderr"))).unwrap();
    assert!(told.contains("refused-curl.test") && told.contains("allow refused-"), "{told}");
    backend.assert_nothing_left(&home, agent);
}

fn start(backend: Backend, home: &crate::support::home::Home, agent: &str) -> Session {
    Session::start_by(backend.command(home, &["start", agent, "--yes"]), home, agent)
}

/// Fails unless a command fails, and by itself.
#[track_caller]
pub(super) fn refuses(inside: &mut Session, command: &str) {
    let said = inside.run(command);
    assert!(said.code != 0 && said.code != 124, "{command}: {said:?}");
}

fn java(inside: &mut Session, plain: &str, secure: &str) {
    inside.write("/tmp/Fetch.java", JAVA);
    inside.ok(&format!("{BARE} javac -d /tmp /tmp/Fetch.java"));
    inside.ok(&format!(
        "{BARE} keytool -importcert -noprompt -alias test -file /tmp/ca.pem -keystore /tmp/keys -storepass changeit"
    ));
    let java = format!(
        "{BARE} java -Djavax.net.ssl.trustStore=/tmp/keys -Djavax.net.ssl.trustStorePassword=changeit -cp /tmp Fetch"
    );
    inside.ok(&format!("{java} {plain}"));
    inside.ok(&format!("{java} '{secure}'"));
    refuses(inside, &format!("{java} http://refused-java.test/"));
}

fn no_name_is_looked_up_for_clients_without_a_setting(backend: Backend) {
    let agent = &format!("e2e-unnamed-{}", backend.name());
    let label = format!("canary-{}-{}", backend.name(), std::process::id());
    let allowed = format!("allowed-{label}.test");
    let home = home(&[agent], &format!("      allowlist: ['{allowed}', '*.wild-{label}.test:22']\n"));
    let mut inside = start(backend, &home, agent);
    inside.ok("true");
    let canary = Fixture::on_the_host(&["perl", "-e", SNIFF, &label]);
    assert_eq!(canary.line(), "ready");
    inside.all_fail(&[
        format!("{BARE} getent ahosts system-{label}.test"),
        format!("{BARE} curl -sS http://direct-{label}.test/"),
        format!("{BARE} curl -sS https://data-{label}.{allowed}/"),
        format!("{BARE} node -e 'fetch(\"http://node-{label}.test/\").then(() => 0, () => process.exit(1))'"),
    ]);
    // An allowed name has an address at once, and is looked up when something connects to it, and not before.
    let address = inside.ok(&format!("{BARE} getent ahosts any-{label}.wild-{label}.test"));
    assert!(address.starts_with("127.64."), "{address}");
    assert!(inside.ok(&format!("{BARE} getent ahosts {allowed}")).starts_with("127.64."));
    inside.run(&format!("{BARE} curl -sS http://{allowed}/"));
    assert_eq!(canary.line(), format!("allowed-{label}"));
    inside.end();
    let log = decisions(&home);
    for name in ["system", "direct", "node"] {
        assert_refused(&log, &format!("{name}-{label}.test"));
    }
    backend.assert_nothing_left(&home, agent);
}

/// Asks for as many names as its first argument says, and prints how many had an address.
const INVENT: &str = r"use strict; use Socket;
my ($count, $found) = (shift, 0);
socket(my $s, PF_INET, SOCK_DGRAM, 0) or die; connect($s, sockaddr_in(53, INADDR_LOOPBACK)) or die;
for my $n (1 .. $count) {
  my $name = join '', map { pack 'C/a', $_ } qq(invented-$n), 'wild', 'test', '';
  send $s, pack('nnnnnn', $n & 65535, 0x0100, 1, 0, 0, 0) . $name . pack('nn', 1, 1), 0;
  recv $s, my $answer, 512, 0; $found++ if unpack('x6n', $answer) == 1;
}
print $found;";

fn ten_thousand_invented_names_leave_memory_bounded(backend: Backend) {
    let agent = &format!("e2e-invented-{}", backend.name());
    let home = home(&[agent], "      allowlist: ['*.wild.test']\n");
    let mut inside = start(backend, &home, agent);
    inside.write("/tmp/invent.pl", INVENT);
    let resident = "awk '/^VmRSS/ { print $2 }' /proc/1/status";
    assert_eq!(inside.ok("perl /tmp/invent.pl 500"), "500");
    let before: u64 = inside.ok(resident).parse().unwrap();
    assert_eq!(inside.ok("perl /tmp/invent.pl 10000"), "10000");
    let after: u64 = inside.ok(resident).parse().unwrap();
    assert!(after < before + 4096, "process 1 grew from {before} to {after} KiB");
    // Those that go are closed soon after, on a busy machine later than the next name is asked for.
    let settled = "for n in $(seq 300); do l=$(grep -c ':01BB 00000000:0000 0A' /proc/net/tcp); [ $l -gt 256 ] || break; sleep 0.1; done; echo $l";
    let listeners: u64 = inside.ok(settled).parse().unwrap();
    assert!(listeners <= 256, "{listeners} listeners on port 443");
    // Those that had to go have an address again.
    assert!(inside.ok("getent ahosts invented-1.wild.test").starts_with("127."));
    inside.end();
    backend.assert_nothing_left(&home, agent);
}

fn an_address_that_stands_for_a_name_leads_to_its_ports_and_nowhere_else(backend: Backend) {
    let agent = &format!("e2e-stands-{}", backend.name());
    let home = home(&[agent], "      allowlist: [ok.test, '*.wild.test:443']\n");
    let mut inside = start(backend, &home, agent);
    let address = inside.ok(&format!("{BARE} getent ahosts ok.test | head -1 | cut -d ' ' -f 1"));
    assert!(address.starts_with("127.64."), "{address}");
    // QUIC, DNS by both transports and over TLS, mail, databases, the engine, and the proxy's own port.
    let udp = [53, 123, 443, 853, 8888].map(|port| format!("udp {address} {port}"));
    let tcp = [22, 25, 53, 853, 2375, 3306, 5432, 8888].map(|port| format!("tcp {address} {port}"));
    let none: Vec<String> = Vec::new();
    assert_eq!(answered(&mut inside, &[udp.as_slice(), &tcp].concat()), none);
    assert!(inside.ok(&format!("{BARE} getent ahostsv6 ok.test || echo none")).ends_with("none"));
    // A resolver over HTTPS is a host like any other, and labels below an allowed name leave with a connection alone.
    for host in ["dns.google", "cloudflare-dns.com", "1.1.1.1", "[2606:4700:4700::1111]"] {
        inside.fails(&format!("{BARE} curl -sS -f -m 10 https://{host}/dns-query"));
    }
    inside.end();
    assert_refused(&decisions(&home), "dns.google");
    backend.assert_nothing_left(&home, agent);
}

/// Returns the guard of the home's only run: no other has a mount of that run's directory.
fn guard_of(home: &crate::support::home::Home) -> Pid {
    let runs = home.runs();
    let directory = format!("/bottles/{}/", runs[0]);
    let is_it = |pid: &u32| {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        read("comm") == "egress-guard\n" && read("mountinfo").contains(&directory)
    };
    let entries = std::fs::read_dir("/proc").unwrap();
    let pids = entries.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let pid = pids.filter(is_it).last().expect("the guard is a process of this machine");
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

fn without_its_guard_a_client_without_any_setting_reaches_nothing(backend: Backend) {
    let agent = &format!("e2e-guardless-{}", backend.name());
    let page = pages(backend.host_address());
    let (ip, port) = (page.ip(), page.port());
    let home = home(
        &[agent],
        &format!(
            "      allowlist: ['page.test:{port}']\n      hosts: {{ page.test: {ip} }}\n      private: [{{ host: page.test, range: {ip}/32 }}]\n"
        ),
    );
    let mut inside = start(backend, &home, agent);
    let fetch = format!("{BARE} curl -sS -f -m 20 http://page.test:{port}/");
    assert_eq!(inside.ok(&fetch), "page");
    // One that is open ends with the guard, in the middle of what it carries.
    inside.ok(&format!(
        "mkfifo /tmp/open /tmp/over
         ( exec 3<>/dev/tcp/page.test/{port}; printf 'GET / HTTP/1.1\\r\\nHost: page.test:{port}\\r\\n\\r\\n' >&3
           read -r line <&3; echo \"$line\" >/tmp/open; cat <&3 >/dev/null; echo over >/tmp/over ) >/dev/null 2>&1 &
         timeout 100 cat /tmp/open | grep -q 200"
    ));
    kill_process(guard_of(&home), Signal::KILL).unwrap();
    assert_eq!(inside.ok("timeout 100 cat /tmp/over"), "over");
    inside.fails(&fetch);
    inside.fails(&format!("{BARE} getent ahosts page-again.test"));
    inside.fails(&format!("{BARE} curl -sS -f -m 20 http://{ip}:{port}/"));
    inside.end();
    backend.assert_nothing_left(&home, agent);
}
