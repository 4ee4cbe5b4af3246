//! What is outside: an HTTP proxy above the guard that leads each name to a server of the test's own, and a home that goes by it.
//!
//! So names of the real world are reached at port 443 without a lookup, and without that port on this machine.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use crate::support::home::Home;

/// Where names lead.
#[derive(Debug, Clone, Default)]
pub(crate) struct Above {
    routes: Vec<(String, SocketAddr)>,
}

impl Above {
    /// Leads a name to a server.
    pub(crate) fn route(mut self, host: &str, server: SocketAddr) -> Self {
        self.routes.push((host.to_owned(), server));
        self
    }

    /// Serves until the test ends, and returns the place.
    pub(crate) fn serve(self, ip: IpAddr) -> SocketAddr {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let above = self.clone();
                thread::spawn(move || above.lead(client));
            }
        });
        address
    }

    /// Leads one client where it asks to go; to a name without a route it says that it cannot.
    fn lead(&self, mut client: TcpStream) -> io::Result<()> {
        let mut lines = BufReader::new(client.try_clone()?).lines();
        let asked = lines.next().unwrap_or_else(|| Ok(String::new()))?;
        while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
        let host = asked.strip_prefix("CONNECT ").and_then(|rest| rest.split(':').next()).unwrap_or_default();
        let Some((_, server)) = self.routes.iter().find(|(name, _)| name == host) else {
            return client.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
        };
        let mut server = TcpStream::connect(server)?;
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
        let up = thread::spawn(move || {
            io::copy(&mut from, &mut to).ok();
            to.shutdown(Shutdown::Write).ok();
        });
        io::copy(&mut server, &mut client).ok();
        client.shutdown(Shutdown::Both).ok();
        up.join().ok();
        Ok(())
    }
}

/// A bottle, as lines of a manifest.
#[derive(Debug, Default)]
pub(crate) struct Bottle {
    egress: String,
    more: String,
}

impl Bottle {
    /// Makes one whose guard goes by this proxy and trusts hosts by these files too.
    pub(crate) fn new(above: SocketAddr, authorities: &[&Path], allowlist: &str) -> Self {
        let files: Vec<_> = authorities.iter().map(|path| path.display().to_string()).collect();
        let mut egress = format!("      upstream_proxy: http://{above}\n      allowlist: [{allowlist}]\n");
        writeln!(egress, "      authorities: [{}]", files.join(", ")).unwrap();
        Self { egress, more: String::new() }
    }

    /// Adds a line about its way out.
    pub(crate) fn egress(mut self, line: &str) -> Self {
        writeln!(self.egress, "      {line}").unwrap();
        self
    }

    /// Adds a line of its own.
    pub(crate) fn line(mut self, line: &str) -> Self {
        writeln!(self.more, "    {line}").unwrap();
        self
    }

    /// Makes a home in which these agents, all of them a shell, each have such a bottle.
    pub(crate) fn home(&self, agents: &[&str]) -> Home {
        let agent = |agent: &&str| format!("  {agent}: {{ bottle: dev, command: [bash] }}\n");
        self.home_of(&agents.iter().map(agent).collect::<String>())
    }

    /// Makes a home with these agents, as lines of a manifest.
    pub(crate) fn home_of(&self, agents: &str) -> Home {
        let manifest =
            format!("bottles:\n  dev:\n{}    egress:\n{}agents:\n{agents}", self.more, self.egress);
        Home::new(&manifest)
    }
}
