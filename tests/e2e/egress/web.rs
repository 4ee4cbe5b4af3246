//! A small web server of a test's own, which keeps each request it got, and serves a git repository when it is asked to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::support::{assert_code, run};

/// One request, with its body as it is behind the framing.
#[derive(Debug, Clone, Default)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Request {
    /// Returns the value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    fn read(stream: &mut impl BufRead) -> std::io::Result<Option<Self>> {
        let line = line(stream)?;
        let mut words = line.split(' ').map(str::to_owned);
        let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(None) };
        let mut request = Self { method, path, ..Self::default() };
        loop {
            let line = self::line(stream)?;
            let Some((name, value)) = line.split_once(": ") else { break };
            request.headers.push((name.to_owned(), value.to_owned()));
        }
        if request.header("transfer-encoding") == Some("chunked") {
            request.read_chunks(stream)?;
        } else if let Some(length) = request.header("content-length") {
            request.body = vec![0; length.parse().unwrap()];
            stream.read_exact(&mut request.body)?;
        }
        Ok(Some(request))
    }

    fn read_chunks(&mut self, stream: &mut impl BufRead) -> std::io::Result<()> {
        loop {
            let length = u64::from_str_radix(&line(stream)?, 16).unwrap();
            stream.take(length).read_to_end(&mut self.body)?;
            line(stream)?;
            if length == 0 {
                return Ok(());
            }
        }
    }
}

fn line(stream: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    line.truncate(line.trim_end().len());
    Ok(line)
}

/// The running server.
pub(super) struct Web {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Web {
    /// Serves one request a connection.
    pub(super) fn start(
        ip: IpAddr,
        answer: impl Fn(&Request, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, answer) = (Arc::<Mutex<Vec<Request>>>::default(), Arc::new(answer));
        let kept = Arc::clone(&seen);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let request = Request::read(&mut BufReader::new(&stream));
                    // A client that goes away is its own test's failure.
                    if let Ok(Some(request)) = request {
                        kept.lock().unwrap().push(request.clone());
                        answer(&request, &mut stream).ok();
                    }
                });
            }
        });
        Self { address, seen }
    }

    /// Serves a repository with one commit, `/project.git`, that may be pushed to.
    pub(super) fn git(ip: IpAddr) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let script = "git init -q --bare -b main project.git; git -C project.git config http.receivepack true
            git init -q -b main work; cd work; git commit -qm first --allow-empty; git push -q ../project.git main";
        let mut make = Command::new("sh");
        make.args(["-ec", script]).current_dir(dir.path()).env("GIT_CONFIG_GLOBAL", "/dev/null");
        for who in ["AUTHOR", "COMMITTER"] {
            make.env(format!("GIT_{who}_NAME"), "a").env(format!("GIT_{who}_EMAIL"), "a@example.test");
        }
        assert_code(&run(&mut make), 0);
        Self::start(ip, move |request, stream| stream.write_all(&git_backend(dir.path(), request)?))
    }

    /// Returns the requests so far.
    pub(super) fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

/// Has git's own program answer: <https://git-scm.com/docs/git-http-backend>.
fn git_backend(root: &Path, request: &Request) -> std::io::Result<Vec<u8>> {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let mut git = Command::new("git");
    git.arg("http-backend").env("GIT_PROJECT_ROOT", root).env("GIT_HTTP_EXPORT_ALL", "1");
    git.env("PATH_INFO", path).env("QUERY_STRING", query).env("REQUEST_METHOD", &request.method);
    git.env("CONTENT_LENGTH", request.body.len().to_string()).env("REMOTE_ADDR", "bottle");
    for (variable, header) in [
        ("CONTENT_TYPE", "content-type"),
        ("HTTP_CONTENT_ENCODING", "content-encoding"),
        ("GIT_PROTOCOL", "git-protocol"),
    ] {
        git.env(variable, request.header(header).unwrap_or_default());
    }
    let mut child = git.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let (mut stdin, body) = (child.stdin.take().unwrap(), request.body.clone());
    let writer = std::thread::spawn(move || stdin.write_all(&body));
    let output = child.wait_with_output()?;
    // It may have seen enough.
    writer.join().unwrap().ok();
    // Only what is not well has a status, as its first line. The connection ends with the answer.
    let answer = match output.stdout.strip_prefix(b"Status: ") {
        Some(failure) => [b"HTTP/1.1 ", failure].concat(),
        None => [b"HTTP/1.1 200 OK\r\n", &output.stdout[..]].concat(),
    };
    let end = answer.windows(2).position(|pair| pair == b"\r\n").map_or(0, |at| at + 2);
    Ok([&answer[..end], b"Connection: close\r\n", &answer[end..]].concat())
}
