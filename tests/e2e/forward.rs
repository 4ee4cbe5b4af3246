//! Servers of a bottle, opened on this machine by `forward`.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, ChildStdout, Output, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::egress::home;
use crate::egress::session::Session;
use crate::support::backend::{Backend, on_a_cluster, on_each_backend_and_podman};
use crate::support::home::Home;
use crate::support::{assert_code, stderr};

on_each_backend_and_podman!(
    what_a_server_inside_sends_and_takes_is_exact,
    no_socket_of_the_host_is_in_a_bottle,
    a_forward_ends_with_its_bottle_and_a_connection_with_its_forward,
);
on_a_cluster!(
    what_a_server_inside_sends_and_takes_is_exact,
    no_socket_of_the_host_is_in_a_bottle,
    a_forward_ends_with_its_bottle_and_a_connection_with_its_forward,
);

/// How long a byte may take, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(120);

/// How much is sent there and back.
const BYTES: usize = 50 << 20;

/// A web server on 3000, which echoes what is posted and what comes over an upgraded connection; and on 3001 a server that ends
/// first, and counts what still comes. Each event is told through a pipe of its name.
const SERVERS: &str = r#"
const fs = require('fs'), http = require('http'), net = require('net');
const tell = (name, text) => fs.writeFile('/tmp/' + name, text + '\n', () => {});
const web = http.createServer((request, answer) => {
    if (request.url === '/echo') request.pipe(answer);
    else answer.end('a page from inside\n');
});
web.on('upgrade', (request, socket) => {
    socket.on('close', () => tell('closed', 'closed'));
    socket.on('error', () => {});
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
    socket.pipe(socket);
});
const counter = net.createServer({ allowHalfOpen: true }, (client) => {
    let count = 0;
    client.on('data', (bytes) => count += bytes.length);
    client.on('end', () => tell('counted', count));
    client.end('bye');
});
web.listen(3000, '127.0.0.1', () => counter.listen(3001, '127.0.0.1', () => tell('ready', 'ready')));
"#;

/// Starts a bottle with the servers in it.
fn bottle(backend: Backend, what: &str) -> (Home, String, Session) {
    let agent = format!("e2e-forward-{what}-{}", backend.name());
    let home = home(&[&agent], "      allowlist: []\n");
    let mut inside =
        Session::start_by(backend.command(&home, &["-q", "start", &agent, "--yes"]), &home, &agent);
    inside.write("/tmp/servers.js", SERVERS);
    inside.ok("mkfifo /tmp/ready /tmp/closed /tmp/counted");
    inside.ok("node /tmp/servers.js >/tmp/said 2>&1 & cat /tmp/ready");
    (home, agent, inside)
}

/// The program while it forwards.
struct Forward {
    child: Child,
    lines: BufReader<ChildStdout>,
    /// Under which numbers the ports are here.
    ports: Vec<u16>,
}

impl Forward {
    fn start(backend: Backend, home: &Home, agent: &str, ports: &[&str]) -> Self {
        let mut command = backend.command(home, &[&["forward", agent][..], ports].concat());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut forward = Self { child, lines, ports: Vec::new() };
        for _ in ports {
            let mut line = String::new();
            forward.lines.read_line(&mut line).unwrap();
            let port = line.trim_end().strip_prefix("http://127.0.0.1:");
            let port = port.unwrap_or_else(|| panic!("no URL: {:?}", forward.child.wait()));
            forward.ports.push(port.parse().unwrap());
        }
        forward
    }

    /// Connects to the port that was named at this place.
    fn connect(&self, at: usize) -> TcpStream {
        let client = TcpStream::connect(("127.0.0.1", self.ports[at])).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client
    }

    fn interrupt(&self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
    }

    /// Waits for the end.
    fn ended(mut self) -> Output {
        let mut stdout = Vec::new();
        self.lines.read_to_end(&mut stdout).unwrap();
        let mut output = self.child.wait_with_output().unwrap();
        output.stdout = stdout;
        output
    }
}

fn all(mut from: &TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    from.read_to_end(&mut all).unwrap();
    all
}

/// Asks for a page, and returns what follows the answer's head.
fn page(mut client: &TcpStream) -> String {
    client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let answer = String::from_utf8(all(client)).unwrap();
    answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}")).1.to_owned()
}

/// Upgrades a connection.
fn upgraded(client: TcpStream) -> BufReader<TcpStream> {
    let head = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    (&client).write_all(head.as_bytes()).unwrap();
    let mut lines = BufReader::new(client);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "no head of an answer");
    }
    lines
}

/// Sends a line and reads it back.
fn exchange(upgraded: &mut BufReader<TcpStream>, text: &str) {
    writeln!(upgraded.get_mut(), "{text}").unwrap();
    let mut back = String::new();
    upgraded.read_line(&mut back).unwrap();
    assert_eq!(back.trim_end(), text);
}

fn what_a_server_inside_sends_and_takes_is_exact(backend: Backend) {
    let (home, agent, mut inside) = bottle(backend, "exact");
    let forward = Forward::start(backend, &home, &agent, &["3000", "3001:0", "3999"]);
    let other = Forward::start(backend, &home, &agent, &["3000"]);
    assert_ne!(forward.ports[0], other.ports[0]);
    // While one that lasts is open, and by two forwards at once.
    let mut lasting = upgraded(forward.connect(0));
    exchange(&mut lasting, "first");
    thread::scope(|scope| {
        for at in [&forward, &other, &forward, &other] {
            scope.spawn(|| assert_eq!(page(&at.connect(0)), "a page from inside\n"));
        }
    });
    post_and_compare(&forward.connect(0));
    (0..50).for_each(|n| exchange(&mut lasting, &format!("line {n}")));

    let counted = forward.connect(1);
    assert_eq!(all(&counted), b"bye");
    (&counted).write_all(&[b'x'; 1000]).unwrap();
    counted.shutdown(Shutdown::Write).unwrap();
    assert_eq!(inside.ok("cat /tmp/counted"), "1000");

    let refused = (&forward.connect(2)).read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(refused, Err(ErrorKind::ConnectionReset));
    other.interrupt();
    assert_code(&other.ended(), 130);
    forward.interrupt();
    let output = forward.ended();
    assert_code(&output, 130);
    let told = "warning: cannot connect to port 3999 in the bottle: Connection refused (os error 111)\n";
    assert!(stderr(&output).ends_with(told), "{}", stderr(&output));
    inside.end();
    backend.assert_nothing_left(&home, &agent);
}

/// Posts random bytes and reads them back, at the same time.
fn post_and_compare(client: &TcpStream) {
    let mut sent = vec![0; BYTES];
    std::fs::File::open("/dev/urandom").unwrap().read_exact(&mut sent).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let head = format!(
                "POST /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {BYTES}\r\n\r\n"
            );
            let mut client = client;
            client.write_all(head.as_bytes()).unwrap();
            client.write_all(&sent).unwrap();
        });
        let mut answer = BufReader::new(client);
        let (mut head, mut line) = (String::new(), String::new());
        while line != "\r\n" {
            line.clear();
            assert!(answer.read_line(&mut line).unwrap() > 0, "{head}");
            head.push_str(&line);
        }
        assert!(head.to_lowercase().contains("transfer-encoding: chunked"), "{head}");
        let back = unchunked(&mut answer);
        assert!(back == sent, "{} bytes came back, or other ones", back.len());
    });
}

/// Reads a body in chunks: <https://www.rfc-editor.org/rfc/rfc9112#section-7.1>.
fn unchunked(from: &mut impl BufRead) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        let length = usize::from_str_radix(line.trim_end(), 16).unwrap_or_else(|_| panic!("{line:?}"));
        let start = body.len();
        body.resize(start + length, 0);
        from.read_exact(&mut body[start..]).unwrap();
        from.read_exact(&mut [0; 2]).unwrap();
        if length == 0 {
            return body;
        }
    }
}

/// Lists the sockets of the programs that carry, and says of each whether it is one of the bottle's own network.
const SOCKETS: &str = r#"
    for place in /proc/[0-9]*; do
        tr '\0' ' ' <$place/cmdline | grep -q 'bottle-guest join 3000 $' || continue
        for fd in $place/fd/*; do
            link=$(readlink "$fd") || continue
            case $link in
                socket:*)
                    inode=${link#*[}
                    if grep -q " ${inode%]} " /proc/net/tcp; then echo own; else echo "another: $link"; fi ;;
                pipe:* | /dev/null) ;;
                *) echo "other: $link" ;;
            esac
        done
    done"#;

fn no_socket_of_the_host_is_in_a_bottle(backend: Backend) {
    let (home, agent, mut inside) = bottle(backend, "sockets");
    let forward = Forward::start(backend, &home, &agent, &["3000"]);
    let mut lasting = upgraded(forward.connect(0));
    exchange(&mut lasting, "open");
    let said = inside.ok(SOCKETS);
    assert!(!said.is_empty() && said.lines().all(|line| line == "own"), "{said}");
    // And none of this machine's ports is reached from inside.
    let here = format!(
        "node -e \"require('net').connect({}, '127.0.0.1').on('error', () => process.exit(7))\"",
        forward.ports[0]
    );
    if forward.ports[0] != 3000 {
        assert_eq!(inside.run(&here).code, 7);
    }
    forward.interrupt();
    assert_code(&forward.ended(), 130);
    inside.end();
    backend.assert_nothing_left(&home, &agent);
}

fn a_forward_ends_with_its_bottle_and_a_connection_with_its_forward(backend: Backend) {
    let (home, agent, mut inside) = bottle(backend, "ends");
    let forward = Forward::start(backend, &home, &agent, &["3000"]);
    let mut lasting = upgraded(forward.connect(0));
    exchange(&mut lasting, "open");
    forward.interrupt();
    assert_code(&forward.ended(), 130);
    assert_eq!(inside.ok("cat /tmp/closed"), "closed");
    assert!(lasting.read_line(&mut String::new()).is_err());

    let forward = Forward::start(backend, &home, &agent, &["3000"]);
    let mut lasting = upgraded(forward.connect(0));
    exchange(&mut lasting, "open");
    inside.end();
    let output = forward.ended();
    assert_code(&output, 0);
    assert!(stderr(&output).ends_with(" has ended\n"), "{}", stderr(&output));
    backend.assert_nothing_left(&home, &agent);
}
