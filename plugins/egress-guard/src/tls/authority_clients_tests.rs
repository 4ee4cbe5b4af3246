//! What programs make of the constraints of an authority: each is led to a host that has a certificate of it, within them and outside.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use claude_bottle_egress_policy::Rule;
use tokio_rustls::rustls::{ServerConnection, StreamOwned};

use super::*;
use crate::tls::jks;

const INSIDE: &str = "a.example";
const OUTSIDE: &str = "evil.example";

/// A program, its arguments behind which the host stands, and whether it heeds constraints. `PROXY`, `CA` and `JKS` are replaced.
type Client = (&'static str, &'static [&'static str], bool);

const CLIENTS: [Client; 4] = [
    ("curl", &["-sS", "--cacert", "CA"], true),
    (
        "node",
        &[
            "-e",
            "const [ca, proxy, host] = process.argv.slice(1); const [name, port] = proxy.split(':');
             require('http').request({ host: name, port, method: 'CONNECT', path: host + ':443' }).on('connect', (_, socket) =>
               require('https').get({ host, createConnection: () => require('tls').connect({ socket, servername: host, \
                 ca: require('fs').readFileSync(ca) }) }, () => process.exit(0)).on('error', () => process.exit(1))).end()",
            "CA",
            "PROXY",
        ],
        true,
    ),
    ("/usr/bin/python3", &["-c", "import sys, urllib.request as r; r.urlopen(sys.argv[1])"], true),
    ("java", &["-Xshare:auto", "-Djavax.net.ssl.trustStore=JKS", "GET"], false),
];

const GET: &str = "import java.net.*;
public class Get {
  public static void main(String[] a) throws Exception { ((HttpURLConnection) new URL(a[0]).openConnection()).getResponseCode(); }
}";

/// Leads everybody to a host of the asked name that this authority has made a certificate for, and tells to whom a request came.
fn serve(authority: Authority) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, arrived) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
    let all = Arc::clone(&arrived);
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            if let Some(host) = lead(client, &authority) {
                all.lock().unwrap().push(host);
            }
        }
    });
    (address, arrived)
}

fn lead(mut client: TcpStream, authority: &Authority) -> Option<String> {
    let mut lines = BufReader::new(client.try_clone().ok()?).lines().map_while(Result::ok);
    let host = lines.next()?.strip_prefix("CONNECT ")?.split(':').next()?.to_owned();
    lines.find(String::is_empty)?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
    let config = authority.server(&HostOrIp::parse(&host).ok()?, b"http/1.1").unwrap();
    let mut inside = StreamOwned::new(ServerConnection::new(config).ok()?, client);
    let mut first = [0; 3];
    inside.read_exact(&mut first).ok()?;
    inside.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok()?;
    inside.conn.send_close_notify();
    inside.flush().ok();
    (&first == b"GET").then_some(host)
}

fn check(clients: &[Client]) {
    let rules = vec![Rule::parse("a.example", "").unwrap(), Rule::parse("deny PUT a.example/x", "").unwrap()];
    let policy = Policy { rules, intercept: Intercept::Needed, ..Policy::default() };
    let authority = Authority::new("dev", &policy).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let [ca, store, get] = ["ca.pem", "store.jks", "Get.java"].map(|name| dir.path().join(name));
    std::fs::write(&ca, authority.pem()).unwrap();
    std::fs::write(&store, jks::store(authority.pem()).unwrap()).unwrap();
    std::fs::write(&get, GET).unwrap();
    let (proxy, arrived) = serve(authority);
    for (program, arguments, heeds) in clients {
        for (host, is_expected) in [(INSIDE, true), (OUTSIDE, !heeds)] {
            let text = |path: &Path| path.display().to_string();
            let filled = |word: &&str| {
                let word = word.replace("CA", &text(&ca)).replace("JKS", &text(&store));
                word.replace("PROXY", &proxy.to_string()).replace("GET", &text(&get))
            };
            let last = if *program == "node" { host.to_owned() } else { format!("https://{host}/") };
            let java = format!("-Dhttps.proxyHost={} -Dhttps.proxyPort={}", proxy.ip(), proxy.port());
            let said = Command::new(program)
                .args(arguments.iter().map(filled))
                .arg(last)
                .env_clear()
                .env("PATH", std::env::var_os("PATH").unwrap())
                .envs([("HTTPS_PROXY", format!("http://{proxy}")), ("JAVA_TOOL_OPTIONS", java)])
                .env("SSL_CERT_FILE", &ca)
                .output()
                .unwrap_or_else(|error| panic!("{program} cannot be run: {error}"));
            let has_arrived = arrived.lock().unwrap().drain(..).any(|name| name == host);
            assert_eq!(
                (has_arrived, said.status.success()),
                (is_expected, is_expected),
                "{program} {host}: {said:?}"
            );
        }
    }
}

#[test]
fn programs_take_no_host_outside_of_the_constraints_and_java_does() {
    check(&CLIENTS);
}

/// A program of Go's library is made by `tests/setup/clients.sh`.
#[test]
#[ignore = "takes the network to install what it runs: make test-workspaces"]
fn a_program_of_go_takes_no_host_outside_of_the_constraints() {
    check(&[(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.cache/clients/get"), &[], true)]);
}
