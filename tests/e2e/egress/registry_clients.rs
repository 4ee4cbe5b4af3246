//! Clients of the registries that know no proxy: what `tests/setup/clients.sh` installs, by HTTP, WebSocket and gRPC, and apt.
//!
//! They take the network to be installed, so that this has a target of its own: `make test-workspaces`.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use super::session::Session;
use super::unaware::{BARE, refuses};
use super::{assert_refused, decisions};
use crate::intercept::above::{Above, Bottle};
use crate::support::backend::{Backend, on_each_backend};
use crate::support::home::Home;
use crate::support::{assert_code, clients, run};

on_each_backend!(
    #[ignore = "takes the network to install what it runs: make test-workspaces"]
    clients_of_the_registries_need_no_setting,
    #[ignore = "takes the network to install what it runs: make test-workspaces"]
    clients_of_the_registries_work_where_their_tunnels_are_opened,
);

const NAME: &str = "clients.fixture.test";
/// The same server's name for gRPC, where names lead to one port each.
const CALLED: &str = "grpc.fixture.test";

/// How a client is asked for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// A page, plain and over TLS.
    Page,
    /// A word through a WebSocket, over TLS.
    Socket,
    /// A word through gRPC, over TLS.
    Grpc,
    /// The packages of a repository, plain.
    Repository,
}

/// A client, and its command with the place in the place of `URL`.
type Client = (&'static str, Way, &'static str);

const CLIENTS: [Client; 13] = [
    ("go", Way::Page, "env SSL_CERT_FILE=/tmp/ca.pem ./get URL"),
    (
        "deno",
        Way::Page,
        "env DENO_CERT=/tmp/ca.pem DENO_DIR=/tmp/deno DENO_NO_UPDATE_CHECK=1 node_modules/deno/deno eval \
         'if (!(await fetch(Deno.args[0])).ok) Deno.exit(1)' URL",
    ),
    (
        "bun",
        Way::Page,
        "env NODE_EXTRA_CA_CERTS=/tmp/ca.pem node_modules/bun/bin/bun.exe -e 'process.exit((await fetch(process.argv.at(-1))).ok ? 0 : 1)' URL",
    ),
    (
        "undici",
        Way::Page,
        "env NODE_EXTRA_CA_CERTS=/tmp/ca.pem node -e 'require(\"undici\").request(process.argv[1]).then((r) => \
         process.exit(r.statusCode == 200 ? 0 : 1))' URL",
    ),
    (
        "aiohttp",
        Way::Page,
        "env SSL_CERT_FILE=/tmp/ca.pem PYTHONPATH=python /usr/bin/python3 -c 'import asyncio, sys, aiohttp
async def main():
    async with aiohttp.ClientSession(raise_for_status=True) as session, session.get(sys.argv[1]) as answer: await answer.read()
asyncio.run(main())' URL",
    ),
    (
        "httpx",
        Way::Page,
        "env SSL_CERT_FILE=/tmp/ca.pem PYTHONPATH=python /usr/bin/python3 -c 'import sys, httpx; httpx.get(sys.argv[1]).raise_for_status()' URL",
    ),
    (
        "requests",
        Way::Page,
        "env REQUESTS_CA_BUNDLE=/tmp/ca.pem PYTHONPATH=python /usr/bin/python3 -c \
         'import sys, requests; requests.get(sys.argv[1]).raise_for_status()' URL",
    ),
    (
        "urllib",
        Way::Page,
        "env SSL_CERT_FILE=/tmp/ca.pem /usr/bin/python3 -c 'import sys, urllib.request as r; r.urlopen(sys.argv[1]).read()' URL",
    ),
    (
        "ws",
        Way::Socket,
        "env NODE_EXTRA_CA_CERTS=/tmp/ca.pem node -e 'const socket = new (require(\"ws\"))(process.argv[1]); \
         socket.on(\"open\", () => socket.send(\"word\")); socket.on(\"error\", () => process.exit(1)); \
         socket.on(\"message\", (said) => process.exit(said == \"word\" ? 0 : 1))' URL",
    ),
    (
        "websockets",
        Way::Socket,
        "env SSL_CERT_FILE=/tmp/ca.pem PYTHONPATH=python /usr/bin/python3 -c 'import sys
from websockets.sync.client import connect
with connect(sys.argv[1]) as socket:
    socket.send(\"word\")
    assert socket.recv() == \"word\"' URL",
    ),
    (
        "grpc-js",
        Way::Grpc,
        "node -e 'const { Client, credentials } = require(\"@grpc/grpc-js\"); const as_is = (bytes) => bytes; \
         new Client(process.argv[1], credentials.createSsl(require(\"fs\").readFileSync(\"/tmp/ca.pem\"))) \
         .makeUnaryRequest(\"/test.Echo/Say\", as_is, as_is, Buffer.from(\"word\"), (error, said) => \
         process.exit(!error && said == \"word\" ? 0 : 1))' URL",
    ),
    (
        "grpcio",
        Way::Grpc,
        "env PYTHONPATH=python /usr/bin/python3 -c 'import sys, grpc
credentials = grpc.ssl_channel_credentials(open(\"/tmp/ca.pem\", \"rb\").read())
with grpc.secure_channel(sys.argv[1], credentials) as channel:
    assert channel.unary_unary(\"/test.Echo/Say\")(b\"word\") == b\"word\"' URL",
    ),
    (
        "apt",
        Way::Repository,
        "sh -c 'mkdir -p /tmp/apt/lists/partial && echo \"deb [trusted=yes] $0 ./\" >/tmp/apt/sources && apt-get -o Dir::State=/tmp/apt \
         -o Dir::State::lists=lists -o Dir::State::status=/dev/null -o Dir::Cache=/tmp/apt -o Dir::Etc::sourcelist=/tmp/apt/sources \
         -o Dir::Etc::sourceparts=- -o APT::Sandbox::User= -o APT::Update::Error-Mode=any update' URL",
    ),
];

/// The servers, which end with their standard input.
struct Servers {
    child: Child,
    plain: u16,
    secure: u16,
    grpc: u16,
    certificate: String,
}

impl Servers {
    fn start(ip: IpAddr) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/e2e/egress/client-servers.py");
        let mut command = Command::new("/usr/bin/python3");
        command
            .arg(script)
            .arg(ip.to_string())
            .args([NAME, CALLED])
            .env("PYTHONPATH", clients().join("python"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let ports = lines.next().expect("the servers say their ports");
        let [plain, secure, grpc] = *ports.split(' ').map(|port| port.parse().unwrap()).collect::<Vec<_>>()
        else {
            panic!("{ports}")
        };
        let certificate = lines.take_while(|line| line != "ready").collect::<Vec<_>>().join("\n");
        Self { child, plain, secure, grpc, certificate }
    }

    /// Returns the places at which a client is tried, at this host.
    fn places(&self, way: Way, host: &str) -> Vec<String> {
        let Self { plain, secure, grpc, .. } = self;
        match way {
            Way::Page => vec![format!("http://{host}:{plain}/"), format!("https://{host}:{secure}/")],
            Way::Socket => vec![format!("wss://{host}:{secure}/echo")],
            Way::Grpc => vec![format!("{host}:{grpc}")],
            Way::Repository => vec![format!("http://{host}:{plain}/")],
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().ok();
    }
}

fn clients_of_the_registries_need_no_setting(backend: Backend) {
    let agent = &format!("e2e-registry-clients-{}", backend.name());
    let ip = backend.host_address();
    let servers = Servers::start(ip);
    let home = home(backend, agent, ip, &servers);
    assert_code(&run(Command::new("cp").arg("-a").arg(clients().join(".")).arg(home.work())), 0);
    let mut inside =
        Session::start_by(backend.command(&home, &["start", agent, "--yes", "--cwd"]), &home, agent);
    inside.write("/tmp/ca.pem", &servers.certificate);
    for (name, way, command) in CLIENTS {
        let at = |place: &str| format!("{BARE} {}", command.replace("URL", &format!("'{place}'")));
        for place in servers.places(way, NAME) {
            inside.ok(&at(&place));
        }
        for place in servers.places(way, &format!("refused-{name}.test")) {
            refuses(&mut inside, &at(&place));
        }
    }
    inside.end();

    let log = decisions(&home);
    for (name, ..) in CLIENTS {
        assert_refused(&log, &format!("refused-{name}.test"));
    }
    let of_it: Vec<_> = log.iter().filter(|line| line["host"] == NAME).collect();
    assert!(of_it.iter().all(|line| line["verdict"] == "allow"), "{of_it:?}");
    backend.assert_nothing_left(&home, agent);
}

/// Streams of gRPC in both directions, with what is said behind the last message.
const STREAMS: &str = "env PYTHONPATH=python /usr/bin/python3 -c 'import sys, grpc
credentials = grpc.ssl_channel_credentials(open(\"/tmp/ca.pem\", \"rb\").read())
with grpc.secure_channel(sys.argv[1], credentials) as channel:
    call = channel.stream_stream(\"/test.Echo/All\")(iter([b\"one\", b\"two\"]))
    assert list(call) == [b\"one\", b\"two\"]
    assert (\"word\", \"said\") in [tuple(pair) for pair in call.trailing_metadata()]' URL";

fn clients_of_the_registries_work_where_their_tunnels_are_opened(backend: Backend) {
    let agent = &format!("e2e-opened-clients-{}", backend.name());
    let servers = Servers::start(Ipv4Addr::LOCALHOST.into());
    let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let above = Above::default().route(NAME, at(servers.secure)).route(CALLED, at(servers.grpc));
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), &servers.certificate).unwrap();
    let rules = format!("{NAME}, {CALLED}");
    let mut bottle = Bottle::new(above.serve(backend.host_address()), &[ca.path()], &rules);
    if backend == Backend::Docker {
        bottle = bottle.line("image: claude-bottle-workspaces:latest");
    }
    let home = bottle.home(&[agent]);
    assert_code(&run(Command::new("cp").arg("-a").arg(clients().join(".")).arg(home.work())), 0);
    let mut inside =
        Session::start_by(backend.command(&home, &["start", agent, "--yes", "--cwd"]), &home, agent);
    inside.ok("cp $SSL_CERT_FILE /tmp/ca.pem");
    let streams = ("grpcio-streams", Way::Grpc, STREAMS);
    for (_, way, command) in CLIENTS.into_iter().chain([streams]) {
        let place = match way {
            Way::Page => format!("https://{NAME}/"),
            Way::Socket => format!("wss://{NAME}/echo"),
            Way::Grpc => format!("{CALLED}:443"),
            Way::Repository => continue,
        };
        inside.ok(&format!("{BARE} {}", command.replace("URL", &format!("'{place}'"))));
    }
    inside.end();
    let log = decisions(&home);
    let seen = |path: &str| log.iter().filter(|line| line["path"] == path).count();
    assert!(
        seen("/") >= 8 && seen("/echo") >= 2 && seen("/test.Echo/Say") >= 2 && seen("/test.Echo/All") == 1
    );
    assert!(log.iter().all(|line| line["verdict"] == "allow"), "{log:?}");
    backend.assert_nothing_left(&home, agent);
}

fn home(backend: Backend, agent: &str, ip: IpAddr, servers: &Servers) -> Home {
    let Servers { plain, secure, grpc, .. } = servers;
    let rules: Vec<_> = [plain, secure, grpc].map(|port| format!("{NAME}:{port}")).into();
    let mut bottle = serde_json::json!({
        "egress": { "allowlist": rules, "hosts": { NAME: ip }, "private": [{ "host": NAME, "range": ip }] },
    });
    if backend == Backend::Docker {
        bottle["image"] = "claude-bottle-workspaces:latest".into();
    }
    let agents = serde_json::json!({ agent: { "bottle": "dev", "command": ["bash"] } });
    Home::new(&serde_json::json!({ "bottles": { "dev": bottle }, "agents": agents }).to_string())
}
