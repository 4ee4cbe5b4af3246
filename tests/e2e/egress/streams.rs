//! What HTTP can do besides a question and an answer, from a bottle and through its guard: events as they are sent, bodies of unknown
//! length, packed ones, those that wait for a word, and WebSockets.

use std::io::{BufReader, Write};

use super::home;
use super::session::Session;
use super::web::{Request, Web};
use crate::support::backend::{Backend, on_each_backend};
use crate::support::home::Home;

on_each_backend!(
    events_arrive_in_a_bottle_as_they_are_sent,
    a_body_that_waits_for_a_word_gets_it,
    a_websocket_opens_through_the_proxy,
    git_over_plain_http_fetches_and_pushes,
);

/// Starts a bottle that may reach the server as `web.test`.
fn start(backend: Backend, agent: &str, web: &Web) -> (Home, Session) {
    let (ip, port) = (web.address.ip(), web.address.port());
    let home = home(
        &[agent],
        &format!(
            "      allowlist: ['web.test:{port}']\n      hosts: {{ web.test: {ip} }}\n      private: [{{ host: \
             web.test, range: {ip}/32 }}]\n"
        ),
    );
    let inside = Session::start_by(backend.command(&home, &["-q", "start", agent, "--yes"]), &home, agent);
    (home, inside)
}

/// The second event is sent when somebody who has seen the first asks for it.
fn events_arrive_in_a_bottle_as_they_are_sent(backend: Backend) {
    let agent = &format!("e2e-events-{}", backend.name());
    let (sender, asked) = std::sync::mpsc::channel();
    let (sender, asked) = (std::sync::Mutex::new(sender), std::sync::Mutex::new(asked));
    let web = Web::start(backend.host_address(), move |request, stream| {
        if request.path == "/go-on" {
            sender.lock().unwrap().send(()).unwrap();
            return write!(stream, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        }
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: one\n\n"
        )?;
        asked.lock().unwrap().recv().unwrap();
        write!(stream, "data: two\n\n")
    });
    let (home, mut inside) = start(backend, agent, &web);
    let url = format!("http://web.test:{}", web.address.port());
    let script = format!(
        "curl -sSN {url}/events | {{ read -r first; echo \"$first\"; curl -sS {url}/go-on; grep data; }}"
    );
    assert_eq!(inside.ok(&script), "data: one\ndata: two");
    inside.end();
    backend.assert_nothing_left(&home, agent);
}

fn a_body_that_waits_for_a_word_gets_it(backend: Backend) {
    let agent = &format!("e2e-expect-{}", backend.name());
    let web = Web::start(backend.host_address(), |request, stream| {
        let length = request.body.len().to_string();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{length}",
            length.len()
        )
    });
    let (home, mut inside) = start(backend, agent, &web);
    let url = format!("http://web.test:{}/", web.address.port());
    let script = format!(
        "head -c 300000 /dev/zero >/tmp/body; curl -sSv --expect100-timeout 100 -H 'Expect: 100-continue' --data-binary @/tmp/body \
         {url} 2>&1 | tr -d '\\r' | grep -E '^(< HTTP|[0-9]+$)'"
    );
    assert_eq!(inside.ok(&script), "< HTTP/1.1 100 Continue\n< HTTP/1.1 200 OK\n300000");
    inside.end();
    backend.assert_nothing_left(&home, agent);
}

/// Key, answer and frames are the examples of RFC 6455, sections 1.3 and 5.7.
fn a_websocket_opens_through_the_proxy(backend: Backend) {
    let agent = &format!("e2e-websocket-{}", backend.name());
    let web = Web::start(backend.host_address(), |request, stream| {
        assert_eq!(request.header("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
        write!(
            stream,
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: \
             s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
        )?;
        let mut frame = [0; 11];
        std::io::Read::read_exact(&mut BufReader::new(&*stream), &mut frame)?;
        let mask = [frame[2], frame[3], frame[4], frame[5]];
        let word: Vec<u8> =
            frame[6..].iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        stream.write_all(&[&[0x81, 5], &word[..]].concat())
    });
    let (home, mut inside) = start(backend, agent, &web);
    let authority = format!("web.test:{}", web.address.port());
    let script = format!(
        "exec 3<>/dev/tcp/127.0.0.1/8888
         head() {{ while IFS= read -r line <&3; do line=${{line%$'\\r'}}; [ -n \"$line\" ] || return 0; echo \"$line\"; done; }}
         printf 'CONNECT {authority} HTTP/1.1\\r\\nHost: {authority}\\r\\n\\r\\n' >&3; head | grep -o 'HTTP/1.1 200'
         printf 'GET /chat HTTP/1.1\\r\\nHost: {authority}\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n' >&3
         printf 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\nSec-WebSocket-Version: 13\\r\\n\\r\\n' >&3
         head | grep Accept
         printf '\\x81\\x85\\x37\\xfa\\x21\\x3d\\x7f\\x9f\\x4d\\x51\\x58' >&3; dd bs=1 count=7 <&3 2>/dev/null | tail -c 5"
    );
    let said = inside.ok(&script);
    assert_eq!(said, "HTTP/1.1 200\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\nHello");
    inside.end();
    backend.assert_nothing_left(&home, agent);
}

fn git_over_plain_http_fetches_and_pushes(backend: Backend) {
    let agent = &format!("e2e-git-http-{}", backend.name());
    let web = Web::git(backend.host_address());
    let (home, mut inside) = start(backend, agent, &web);
    let script = format!(
        "set -e; cd; export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.test GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.test
         url=http://web.test:{}/project.git
         git clone -q $url one; git clone -q $url two
         cd two; head -c 300000 /dev/urandom >noise; git add noise; git commit -qm noise
         git -c http.postBuffer=65536 push -q origin HEAD; cd ../one
         for n in $(seq 80); do git commit -qm $n --allow-empty; done
         git fetch -q; git log -1 --format=%s origin/HEAD; git -C ../two ls-remote -q origin HEAD | wc -l",
        web.address.port()
    );
    assert_eq!(inside.ok(&script), "noise\n1");
    inside.end();
    let posts = web.requests();
    let with = |name: &str, value: &str| {
        posts.iter().filter(|request: &&Request| request.header(name) == Some(value)).count()
    };
    assert!(with("content-encoding", "gzip") > 0, "git packed a request");
    assert!(with("transfer-encoding", "chunked") > 0, "git sent a body of unknown length");
    backend.assert_nothing_left(&home, agent);
}
