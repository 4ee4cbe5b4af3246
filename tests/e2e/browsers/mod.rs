//! A real browser at a bottle, and in one: Debian's Chromium, driven by Playwright, looks at a dev server of Vite inside through `forward`;
//! and inside a bottle it loads an allowed page and no other.
//!
//! They take the network to be installed, so that this has a target of its own: `make test-workspaces`. `tests/setup/browsers.sh` makes them
//! exist; without it these tests fail.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::egress::session::Session;
use crate::support::backend::{Backend, on_each_backend};
use crate::support::home::Home;
use crate::support::{assert_code, run};

on_each_backend!(
    #[ignore = "takes the network to install what it runs: make test-workspaces"]
    a_dev_server_inside_is_opened_by_a_browser_through_forward,
    #[ignore = "takes the network to install what it runs: make test-workspaces"]
    a_browser_inside_loads_an_allowed_page_and_is_refused_another,
);

const LOOK: &str = include_str!("look.js");

/// The files of a page that Vite serves: a module that imports another, which is TypeScript.
const PAGE: [(&str, &str); 3] = [
    (
        "index.html",
        "<!doctype html><title>dev</title><p id=said></p><script type=module src=/main.js></script>\n",
    ),
    ("main.js", "import { said } from './part.ts'; document.querySelector('#said').textContent = said;\n"),
    ("part.ts", "export const said: string = 'made inside';\n"),
];

fn browsers() -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/browsers").canonicalize();
    dir.expect("no browsers below .cache; make them: tests/setup/browsers.sh")
}

/// A home whose agent is a shell in a directory with Vite and Playwright.
fn home(backend: Backend, agent: &str, egress: &str) -> Home {
    let image = if backend == Backend::Docker { "    image: claude-bottle-browsers:latest\n" } else { "" };
    let home = Home::new(&format!(
        "bottles:\n  dev:\n{image}    egress:\n{egress}agents:\n  {agent}: {{ bottle: dev, command: [bash] }}\n"
    ));
    assert_code(&run(Command::new("cp").arg("-a").arg(browsers().join("node_modules")).arg(home.work())), 0);
    for (name, text) in PAGE {
        std::fs::write(home.work().join(name), text).unwrap();
    }
    std::fs::write(home.work().join("look.js"), LOOK).unwrap();
    home
}

fn start(backend: Backend, home: &Home, agent: &str) -> Session {
    Session::start_by(backend.command(home, &["start", agent, "--yes", "--cwd", "--no-save"]), home, agent)
}

/// A program outside whose lines are read.
struct Outside {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Outside {
    fn start(mut command: Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it can be started");
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

fn a_dev_server_inside_is_opened_by_a_browser_through_forward(backend: Backend) {
    let agent = &format!("e2e-vite-{}", backend.name());
    let home = home(backend, agent, "      allowlist: []\n");
    let mut inside = start(backend, &home, agent);
    inside.ok(
        "touch /tmp/vite; (node node_modules/vite/bin/vite.js --port 5173 --strictPort >/tmp/vite 2>&1) >/dev/null 2>&1 &
         timeout 100 tail -n +1 -F /tmp/vite 2>/dev/null | grep -m 1 -q 'Local:' || { cat /tmp/vite; exit 1; }",
    );
    let mut forward = Outside::start(backend.command(&home, &["forward", agent, "5173:0"]));
    let url = forward.line();
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");

    let mut look = Command::new("node");
    look.arg("look.js").arg("live").arg(&url).current_dir(home.work());
    let mut look = Outside::start(look);
    assert_eq!(look.line(), "made inside");
    // What changes inside is shown without a load: Vite tells the page by its WebSocket.
    inside.ok("echo \"export const said: string = 'changed inside';\" >part.ts");
    assert_eq!(look.line(), "changed inside");
    drop(look.child.stdin.take());
    assert!(look.child.wait().unwrap().success());

    kill_process(Pid::from_raw(i32::try_from(forward.child.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    forward.child.wait().unwrap();
    inside.end();
    backend.assert_nothing_left(&home, agent);
}

/// Answers each request with a page that has a title.
fn pages(ip: IpAddr) -> SocketAddr {
    const BODY: &str = "<!doctype html><title>an allowed page</title>";
    let listener = TcpListener::bind((ip, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map(Result::unwrap) {
            std::thread::spawn(move || {
                let mut piece = [0; 4096];
                while let Ok(1..) = stream.read(&mut piece) {
                    let length = BODY.len();
                    write!(
                        stream,
                        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\r\n{BODY}"
                    )
                    .ok();
                }
            });
        }
    });
    address
}

fn a_browser_inside_loads_an_allowed_page_and_is_refused_another(backend: Backend) {
    let agent = &format!("e2e-chromium-{}", backend.name());
    let page = pages(backend.host_address());
    let (ip, port) = (page.ip(), page.port());
    let egress = format!(
        "      allowlist: ['page.test:{port}']\n      hosts: {{ page.test: {ip} }}\n      private: [{{ host: page.test, range: {ip}/32 }}]\n"
    );
    let home = home(backend, agent, &egress);
    let mut inside = start(backend, &home, agent);
    let urls = format!("http://page.test:{port}/ http://refused.test/ https://refused.test/");
    // By no setting at all, and as the agent's programs are started.
    for before in ["env -i PATH=\"$PATH\" HOME=/tmp", ""] {
        let said = inside.ok(&format!("{before} timeout 100 node look.js load {urls}"));
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(lines.len(), 3, "{said}");
        assert_eq!(lines[0], "200 an allowed page", "{said}");
        // By the proxy it is told why; without one it takes a machine with nothing but a loopback for one without a network.
        assert!(lines[1].starts_with("403") || lines[1].starts_with("failed"), "{said}");
        assert!(lines[2].starts_with("failed"), "{said}");
    }
    inside.end();
    let log = home.decisions();
    let of = |host: &str| log.iter().filter(|line| line["host"] == host).collect::<Vec<_>>();
    assert!(of("refused.test").iter().all(|line| line["verdict"] == "deny"), "{log:?}");
    assert!(!of("refused.test").is_empty() && of("page.test").len() >= 2, "{log:?}");
    backend.assert_nothing_left(&home, agent);
}
